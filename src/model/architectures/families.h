// One row a family; each lives in its own file.
#pragma once

#include "model/architecture.h"

namespace powerhouse {

extern const Architecture kBloom;
extern const Architecture kCohere;
extern const Architecture kCohere2;
extern const Architecture kDeci;
extern const Architecture kErnie45;
extern const Architecture kExaone4;
extern const Architecture kFalcon;
extern const Architecture kGemma;
extern const Architecture kGemma2;
extern const Architecture kGemma3;
extern const Architecture kGlm;
extern const Architecture kGlm4;
extern const Architecture kGpt2;
extern const Architecture kGptBigCode;
extern const Architecture kGptNeoX;
extern const Architecture kGptJ;
extern const Architecture kGptOss;
extern const Architecture kGranite;
extern const Architecture kHunYuanDense;
extern const Architecture kLlama;
extern const Architecture kMistral;
extern const Architecture kMixtral;
extern const Architecture kMpt;
extern const Architecture kNemotron;
extern const Architecture kOlmo;
extern const Architecture kOlmo2;
extern const Architecture kOlmo3;
extern const Architecture kOpt;
extern const Architecture kPersimmon;
extern const Architecture kPhi;
extern const Architecture kPhi3;
extern const Architecture kQwen2;
extern const Architecture kQwen2Moe;
extern const Architecture kQwen3;
extern const Architecture kQwen3Moe;
extern const Architecture kSeedOss;
extern const Architecture kSmolLm3;
extern const Architecture kStableLm;
extern const Architecture kStarCoder2;

}  // namespace powerhouse
