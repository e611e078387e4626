// What a Dataset is.
#pragma once

#include "powerhouse/dataset.h"
#include "training/data/corpus.h"
#include "training/data/corpus_view.h"

namespace powerhouse {

struct Dataset::Impl : training::CorpusView<training::Corpus> {
  using CorpusView::CorpusView;
};

}  // namespace powerhouse
