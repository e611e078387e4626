// powerhouse chat on a terminal, as a person uses it: Ctrl-C and Ctrl-D typed into a pseudo-terminal.
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>

namespace {

constexpr char kCtrlC[] = "\x03";
constexpr char kCtrlD[] = "\x04";

// The program on a pseudo-terminal, killed at the end where it did not leave.
class Chat {
 public:
  Chat(const char* model, const char* max_new_tokens) {
    child_ = ::forkpty(&terminal_, nullptr, nullptr, nullptr);
    if (child_ == 0) {
      ::execl(POWERHOUSE_CLI, POWERHOUSE_CLI, "chat", "--model", model, "--max-new-tokens", max_new_tokens, nullptr);
      ::_exit(127);
    }
  }
  ~Chat() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    ::close(terminal_);
  }
  Chat(const Chat&) = delete;
  Chat& operator=(const Chat&) = delete;

  void type(const std::string& keys) {
    ASSERT_EQ(::write(terminal_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }
  void signal(int number) { ::kill(child_, number); }

  /// Waits until `text` was shown after what was shown before; what came up to its end.
  std::string wait_for(const std::string& text) {
    while (true) {
      const auto at = shown_.find(text);
      if (at != std::string::npos) {
        const std::string before = shown_.substr(0, at + text.size());
        shown_.erase(0, before.size());
        return before;
      }
      if (!read_more()) {
        ADD_FAILURE() << "never showed \"" << text << "\" but " << shown_;
        return {};
      }
    }
  }
  /// The exit code once it has left, or 128 + the signal that ended it.
  int leave() {
    while (read_more()) {
    }
    int status = 0;
    if (::waitpid(child_, &status, WNOHANG) == 0) {
      ::usleep(500'000);  // the terminal closes a moment before the process ends
      if (::waitpid(child_, &status, WNOHANG) == 0) return -1;
    }
    child_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  // False at the end of the terminal and after a minute of silence.
  bool read_more() {
    pollfd waiting{terminal_, POLLIN, 0};
    char buffer[4096];
    if (::poll(&waiting, 1, 60'000) <= 0) return false;
    const ssize_t count = ::read(terminal_, buffer, sizeof buffer);
    if (count <= 0) return false;
    shown_.append(buffer, static_cast<std::size_t>(count));
    return true;
  }

  pid_t child_ = -1;
  int terminal_ = -1;
  std::string shown_;
};

class ChatTerminal : public ::testing::Test {
 protected:
  void SetUp() override {
    model_ = std::getenv("POWERHOUSE_TEST_MODEL");
    if (model_ == nullptr || *model_ == '\0') {
      GTEST_SKIP() << "SKIPPED: POWERHOUSE_TEST_MODEL names no model; scripts/test.sh fetches it";
    }
  }
  const char* model_ = nullptr;
};

TEST_F(ChatTerminal, CtrlCEndsTheAnswerAndThenTheProgram) {
  Chat chat(model_, "300");
  chat.wait_for("> ");
  chat.type("Tell me a very long story about the sea, at least fifty paragraphs.\n");
  chat.wait_for("paragraphs.");  // the terminal's echo
  chat.wait_for(" the ");        // the answer has begun
  chat.type(kCtrlC);
  chat.wait_for("new tokens");
  chat.wait_for("> ");
  chat.type("Go on!\n");
  chat.wait_for("Go on!");
  const std::string answer = chat.wait_for(" from the cache)");  // N prompt tokens (M from the cache)
  const int prompt = std::stoi(answer.substr(answer.rfind('\n') + 1));
  const int reused = std::stoi(answer.substr(answer.rfind('(') + 1));
  EXPECT_GT(prompt, 40) << "the history was not kept: " << answer;
  EXPECT_LT(prompt - reused, 20) << "the cache was not kept: " << answer;
  chat.wait_for("> ");
  chat.type(kCtrlC);
  EXPECT_EQ(chat.leave(), 0);
}

TEST_F(ChatTerminal, CtrlDLeaves) {
  Chat chat(model_, "8");
  chat.wait_for("> ");
  chat.type("Hello\n");
  chat.wait_for("new tokens");
  chat.wait_for("> ");
  chat.type(kCtrlD);
  EXPECT_EQ(chat.leave(), 0);
}

TEST_F(ChatTerminal, LeavesWhenToldTo) {
  for (const int signal : {SIGTERM, SIGHUP}) {
    Chat chat(model_, "4000");
    chat.wait_for("> ");
    chat.type("Tell me a very long story.\n");
    chat.wait_for(" the ");
    chat.signal(signal);
    EXPECT_EQ(chat.leave(), 0) << signal;
  }
}

}  // namespace
