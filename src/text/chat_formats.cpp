#include "text/chat_formats.h"

#include <algorithm>
#include <iterator>

#include "powerhouse/chat.h"

namespace powerhouse {
namespace {

// OpenAI's; transformers' default until it dropped defaults.
constexpr std::string_view kChatMl = R"({%- for message in messages -%}
  {{- '<|im_start|>' + message.role + '\n' -}}
  {%- if message.role == 'assistant' -%}
    {%- generation %}{{ message.content + '<|im_end|>' }}{% endgeneration -%}{{- '\n' -}}
  {%- else -%}
    {{- message.content + '<|im_end|>\n' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif -%})";

// Stanford Alpaca (Taori et al. 2023); a user message may have an `input` beside its content, the instruction.
constexpr std::string_view kAlpaca = R"({{- bos_token -}}
{%- set turns = messages -%}
{%- if messages and messages[0].role == 'system' -%}
  {%- set turns = messages[1:] -%}
  {{- messages[0].content + '\n\n' -}}
{%- elif messages and messages[0].input -%}
  {{- 'Below is an instruction that describes a task, paired with an input that provides further context. ' -}}
  {{- 'Write a response that appropriately completes the request.\n\n' -}}
{%- else -%}
  {{- 'Below is an instruction that describes a task. ' -}}
  {{- 'Write a response that appropriately completes the request.\n\n' -}}
{%- endif -%}
{%- for message in turns -%}
  {%- if message.role == 'assistant' -%}
    {{- '### Response:\n' -}}
    {%- generation %}{{ message.content + eos_token }}{% endgeneration -%}
    {{- '' if loop.last else '\n\n' -}}
  {%- else -%}
    {{- '### Instruction:\n' + message.content + '\n\n' -}}
    {{- '### Input:\n' + message.input + '\n\n' if message.input else '' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '### Response:\n' }}{% endif -%})";

// Llama 2 (Touvron et al. 2023), as transformers' default was: the system message stands in the first user turn.
constexpr std::string_view kLlama2 = R"({%- set turns = messages -%}
{%- set system = none -%}
{%- if messages and messages[0].role == 'system' -%}
  {%- set turns = messages[1:] -%}
  {%- set system = messages[0].content -%}
{%- endif -%}
{%- for message in turns -%}
  {%- if (message.role == 'user') != (loop.index0 % 2 == 0) -%}
    {{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') -}}
  {%- endif -%}
  {%- set content = message.content -%}
  {%- if loop.first and system is not none -%}
    {%- set content = '<<SYS>>\n' + system + '\n<</SYS>>\n\n' + content -%}
  {%- endif -%}
  {%- if message.role == 'user' -%}
    {{- bos_token + '[INST] ' + content.strip() + ' [/INST]' -}}
  {%- else -%}
    {%- generation %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endgeneration -%}
  {%- endif -%}
{%- endfor -%})";

// Vicuna 1.1 (Chiang et al. 2023), as FastChat writes it.
constexpr std::string_view kVicuna = R"({{- bos_token -}}
{%- set turns = messages -%}
{%- if messages and messages[0].role == 'system' -%}
  {%- set turns = messages[1:] -%}
  {{- messages[0].content + ' ' -}}
{%- else -%}
  {{- 'A chat between a curious user and an artificial intelligence assistant. ' -}}
  {{- "The assistant gives helpful, detailed, and polite answers to the user's questions. " -}}
{%- endif -%}
{%- for message in turns -%}
  {%- if message.role == 'assistant' -%}
    {{- 'ASSISTANT:' -}}
    {%- generation %}{{ ' ' + message.content + eos_token }}{% endgeneration -%}
  {%- else -%}
    {{- 'USER: ' + message.content + ' ' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif -%})";

// Zephyr (Tunstall et al. 2023), as FastChat writes it.
constexpr std::string_view kZephyr = R"({%- for message in messages -%}
  {{- '<|' + message.role + '|>\n' -}}
  {%- if message.role == 'assistant' -%}
    {%- generation %}{{ message.content + eos_token }}{% endgeneration -%}{{- '\n' -}}
  {%- else -%}
    {{- message.content + eos_token + '\n' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif -%})";

// Guanaco (Dettmers et al. 2023), as FastChat writes it. No token ends an answer: stop at "###".
constexpr std::string_view kGuanaco = R"({{- bos_token -}}
{%- set turns = messages -%}
{%- if messages and messages[0].role == 'system' -%}
  {%- set turns = messages[1:] -%}
  {{- messages[0].content -}}
{%- else -%}
  {{- 'A chat between a curious human and an artificial intelligence assistant. ' -}}
  {{- "The assistant gives helpful, detailed, and polite answers to the human's questions." -}}
{%- endif -%}
{{- '\n### ' -}}
{%- for message in turns -%}
  {%- if message.role == 'assistant' -%}
    {{- 'Assistant:' -}}
    {%- generation %}{{ ' ' + message.content + '\n### ' }}{% endgeneration -%}
  {%- else -%}
    {{- 'Human: ' + message.content + '\n### ' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ 'Assistant:' }}{% endif -%})";

// Mistral Instruct 0.1 to 0.3 (Jiang et al. 2023), as FastChat writes it.
constexpr std::string_view kMistral = R"({{- bos_token -}}
{%- set turns = messages -%}
{%- set system = '' -%}
{%- if messages and messages[0].role == 'system' -%}
  {%- set turns = messages[1:] -%}
  {%- set system = messages[0].content + '\n' -%}
{%- endif -%}
{%- for message in turns -%}
  {%- if message.role == 'assistant' -%}
    {%- generation %}{{ ' ' + message.content + eos_token }}{% endgeneration -%}
  {%- else -%}
    {{- '[INST] ' + (system if loop.first else '') + message.content + ' [/INST]' -}}
  {%- endif -%}
{%- endfor -%})";

// Gemma 1 and 2. They know no system turn: its text opens the first user turn.
constexpr std::string_view kGemma = R"({{- bos_token -}}
{%- set turns = messages -%}
{%- set system = '' -%}
{%- if messages and messages[0].role == 'system' -%}
  {%- set turns = messages[1:] -%}
  {%- set system = messages[0].content.strip() + '\n\n' -%}
{%- endif -%}
{%- for message in turns -%}
  {%- if message.role == 'assistant' -%}
    {{- '<start_of_turn>model\n' -}}
    {%- generation %}{{ message.content.strip() + '<end_of_turn>' }}{% endgeneration -%}{{- '\n' -}}
  {%- else -%}
    {{- '<start_of_turn>' + message.role + '\n' + (system if loop.first else '') -}}
    {{- message.content.strip() + '<end_of_turn>\n' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif -%})";

constexpr std::string_view kPhi3 = R"({%- for message in messages -%}
  {{- '<|' + message.role + '|>\n' -}}
  {%- if message.role == 'assistant' -%}
    {%- generation %}{{ message.content + '<|end|>' }}{% endgeneration -%}{{- '\n' -}}
  {%- else -%}
    {{- message.content + '<|end|>\n' -}}
  {%- endif -%}
{%- endfor -%}
{{- '<|assistant|>\n' if add_generation_prompt else eos_token -}})";

constexpr std::string_view kLlama3 = R"({{- bos_token if messages else '' -}}
{%- for message in messages -%}
  {{- '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' -}}
  {%- if message.role == 'assistant' -%}
    {%- generation %}{{ message.content.strip() + '<|eot_id|>' }}{% endgeneration -%}
  {%- else -%}
    {{- message.content.strip() + '<|eot_id|>' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif -%})";

constexpr std::string_view kLlamaTokens = R"({"bos_token": "<s>", "eos_token": "</s>"})";

constexpr ChatFormat kFormats[] = {
    {"alpaca", kAlpaca, kLlamaTokens},
    {"chatml", kChatMl, R"({"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"})"},
    {"gemma", kGemma, R"({"bos_token": "<bos>", "eos_token": "<eos>"})"},
    {"guanaco", kGuanaco, kLlamaTokens},
    {"llama2", kLlama2, kLlamaTokens},
    {"llama3", kLlama3, R"({"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"})"},
    {"mistral", kMistral, kLlamaTokens},
    {"phi3", kPhi3, R"({"bos_token": "<s>", "eos_token": "<|endoftext|>"})"},
    {"vicuna", kVicuna, kLlamaTokens},
    {"zephyr", kZephyr, kLlamaTokens},
};

}  // namespace

const ChatFormat* find_chat_format(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(kFormats), std::end(kFormats), [name](const ChatFormat& f) { return f.name == name; });
  return found == std::end(kFormats) ? nullptr : found;
}

std::vector<std::string> chat_format_names() {
  std::vector<std::string> names;
  for (const ChatFormat& format : kFormats) names.emplace_back(format.name);
  return names;
}

}  // namespace powerhouse
