#include "data/loader.h"

#include <algorithm>

#include "core/error.h"
#include "core/hash.h"
#include "core/rng.h"
#include "data/corpus_rows.h"
#include "data/synthetic.h"

namespace mixspan {

namespace {

std::uint64_t digest_of(const std::string& settings) {
  return xxh3_64(settings.data(), settings.size());
}

class CorpusTraining : public SampleSource {
 public:
  CorpusTraining(std::shared_ptr<const Corpus> corpus, CorpusSplit split, std::int64_t T,
                 std::uint64_t seed, bool isolate)
      : held_out_documents_(split.held_out_documents),
        tokens_(std::move(corpus), std::move(split.training)),
        T_(T),
        rows_(tokens_.size() / T),
        seed_(seed),
        isolate_(isolate) {
    require(rows_ >= 1,
            "{}: holds {} training tokens, fewer than one row of {}; set model.context to at most "
            "{} or prepare more text",
            path(), tokens_.size(), T, tokens_.size());
  }

  Batch rows(std::int64_t first, std::int64_t count) const override {
    check(first >= 0 && count >= 1, "{} rows from {} on asked for", count, first);
    Batch batch = make_batch(count, T_, isolate_);
    std::vector<std::int32_t> text(static_cast<std::size_t>(T_ + 1));
    for (std::int64_t b = 0; b < count; ++b) {
      tokens_.read_ring(place_of(first + b), text);
      std::copy_n(text.begin(), T_, batch.tokens.data<std::int32_t>() + b * T_);
      std::copy_n(text.begin() + 1, T_, batch.targets.data<std::int32_t>() + b * T_);
      fill_positions(batch, b, tokens_.corpus().tokens().end_of_text);
    }
    batch.num_targets = count * T_;
    return batch;
  }
  std::int64_t vocab_size() const override { return tokens_.corpus().tokens().vocab_size; }
  std::int64_t row_tokens() const override { return T_; }
  std::string tokenizer_json() const override { return tokens_.corpus().tokens().tokenizer_json; }
  std::string describe() const override {
    const Corpus& corpus = tokens_.corpus();
    const std::string held_out = corpus.num_documents() == 1 && held_out_documents_ == 1
                                     ? "the end of its one document held out"
                                     : fmt::format("{} of {} documents held out",
                                                   held_out_documents_, corpus.num_documents());
    return fmt::format("{}: {} training tokens ({} rows of {}) of {}; {}{}; tokenizer {}", path(),
                       tokens_.size(), rows_, T_, corpus.num_tokens(), held_out,
                       isolate_ ? "; documents isolated" : "", corpus.tokens().tokenizer_name);
  }
  std::uint64_t digest() const override {
    return digest_of(fmt::format("training {} {} {} {} {}", to_hex(tokens_.corpus().digest()),
                                 tokens_.size(), T_, seed_, isolate_));
  }

 private:
  std::string path() const { return tokens_.corpus().path().string(); }
  // Where in the ring of training tokens a sample begins.
  std::int64_t place_of(std::int64_t sample) const {
    const std::int64_t epoch = sample / rows_;
    const auto row = static_cast<std::int64_t>(permute(static_cast<std::uint64_t>(sample % rows_),
                                                       static_cast<std::uint64_t>(rows_), seed_,
                                                       fmt::format("rows of epoch {}", epoch)));
    const std::uint64_t cut =
        RandomStream(seed_, "first cut of each epoch")
            .below(static_cast<std::uint64_t>(tokens_.size()), static_cast<std::uint64_t>(epoch));
    return static_cast<std::int64_t>(cut) + row * T_;
  }

  std::int64_t held_out_documents_;
  TokenSequence tokens_;
  std::int64_t T_, rows_;  // rows_: in an epoch
  std::uint64_t seed_;
  bool isolate_;
};

class CorpusEvaluation : public EvaluationSource {
 public:
  CorpusEvaluation(std::shared_ptr<const Corpus> corpus, std::vector<TokenRange> ranges,
                   std::int64_t T, bool isolate, std::int64_t max_rows)
      : tokens_(std::move(corpus), std::move(ranges)),
        T_(T),
        windows_((tokens_.size() + T - 1) / T),
        rows_(max_rows == 0 ? windows_ : std::min(windows_, max_rows)),
        isolate_(isolate) {}

  Batch rows(std::int64_t first, std::int64_t count) const override {
    check(first >= 0 && count >= 1 && first + count <= rows_, "rows [{}, {}) of {} asked for",
          first, first + count, rows_);
    Batch batch = make_batch(count, T_, isolate_);
    const std::int32_t end_of_text = tokens_.corpus().tokens().end_of_text;
    for (std::int64_t b = 0; b < count; ++b) {
      const std::vector<std::int32_t> text = window_of(first + b);
      std::int32_t* tokens = batch.tokens.data<std::int32_t>() + b * T_;
      std::int32_t* targets = batch.targets.data<std::int32_t>() + b * T_;
      const std::int64_t held = std::ssize(text) - 1;
      std::fill(std::copy_n(text.begin(), held, tokens), tokens + T_, end_of_text);
      std::fill(std::copy_n(text.begin() + 1, held, targets), targets + T_, kIgnoreTarget);
      fill_positions(batch, b, end_of_text);
      batch.num_targets += held;
    }
    return batch;
  }
  std::int64_t num_rows() const override { return rows_; }
  std::int64_t text_bytes(std::int64_t first, std::int64_t count) const override {
    const CorpusTokens& kind = tokens_.corpus().tokens();
    std::int64_t bytes = 0;
    for (std::int64_t r = first; r < first + count; ++r) {
      const std::vector<std::int32_t> text = window_of(r);
      for (std::size_t i = 1; i < text.size(); ++i) {
        bytes += kind.num_bytes[static_cast<std::size_t>(text[i])];
      }
    }
    return bytes;
  }
  std::int64_t vocab_size() const override { return tokens_.corpus().tokens().vocab_size; }
  std::int64_t row_tokens() const override { return T_; }
  std::string tokenizer_json() const override { return tokens_.corpus().tokens().tokenizer_json; }
  std::string describe() const override {
    return fmt::format("{}: {} of {} windows of {} over {} held-out tokens{}",
                       tokens_.corpus().path().string(), rows_, windows_, T_, tokens_.size(),
                       isolate_ ? "; documents isolated" : "");
  }
  std::uint64_t digest() const override {
    return digest_of(fmt::format("evaluation {} {} {} {} {}", to_hex(tokens_.corpus().digest()),
                                 tokens_.size(), T_, rows_, isolate_));
  }

 private:
  // The tokens of a row and the one that follows: the end of text after the last document. At most
  // T + 1, and at least 2.
  std::vector<std::int32_t> window_of(std::int64_t row) const {
    const std::int64_t begin = row * windows_ / rows_ * T_;
    const std::int64_t held = std::min(T_, tokens_.size() - begin);
    std::vector<std::int32_t> text(static_cast<std::size_t>(held + 1));
    tokens_.read_ring(begin, text);
    if (begin + held == tokens_.size()) text.back() = tokens_.corpus().tokens().end_of_text;
    return text;
  }

  TokenSequence tokens_;
  std::int64_t T_, windows_, rows_;
  bool isolate_;
};

void require_sizes(std::int64_t T, std::int64_t max_rows) {
  check(T >= 1 && max_rows >= 0, "rows of {} tokens and at most {} rows asked for", T, max_rows);
}

// Throws unless the fraction can be used; `config` reads a corpus.
void require_fraction(const DataConfig& config) {
  require(config.eval_fraction >= 0 && config.eval_fraction < 1,
          "data.eval_fraction: wanted at least 0 and less than 1, got {}", config.eval_fraction);
}

// With data.eval, all of data.train is for training.
double fraction_of(const DataConfig& config) {
  return config.eval.empty() ? config.eval_fraction : 0;
}

void require_other_corpus(const DataConfig& config, const CorpusTokens& training,
                          const CorpusTokens& evaluation) {
  std::error_code ignored;
  require(!std::filesystem::equivalent(config.train, config.eval, ignored),
          "data.eval: names the training corpus {}; leave it empty to hold out a part of it",
          config.train);
  require(training.tokenizer_json == evaluation.tokenizer_json,
          "data.eval: {} has tokenizer {}, and {} another, {}; prepare both with one tokenizer",
          config.eval, evaluation.tokenizer_name, config.train, training.tokenizer_name);
}

std::unique_ptr<EvaluationSource> evaluate_whole(const std::shared_ptr<const Corpus>& corpus,
                                                 std::int64_t T, bool isolate,
                                                 std::int64_t max_rows) {
  const std::vector<TokenRange> all{{0, corpus->num_tokens()}};
  return std::make_unique<CorpusEvaluation>(corpus, all, T, isolate, max_rows);
}

}  // namespace

std::unique_ptr<SampleSource> open_training(const DataConfig& config, std::int64_t T,
                                            std::uint64_t seed) {
  require_sizes(T, 0);
  require(!config.train.empty(),
          "data.train: nothing to train on; wanted a corpus made by 'mixspan prepare', or a task "
          "such as synthetic:recall");
  if (is_synthetic(config.train)) return open_synthetic(parse_synthetic(config.train), T, seed);
  require_fraction(config);
  const auto corpus = Corpus::open(config.train);
  return std::make_unique<CorpusTraining>(corpus, split_corpus(*corpus, fraction_of(config)), T,
                                          seed, config.isolate_documents);
}

std::unique_ptr<EvaluationSource> open_evaluation(const DataConfig& config, std::int64_t T,
                                                  std::int64_t max_rows) {
  require_sizes(T, max_rows);
  const bool synthetic = is_synthetic(config.train);
  if (!config.eval.empty()) {
    require(is_synthetic(config.eval) == synthetic,
            "data.eval: {} cannot evaluate a model of {}; one is a corpus, the other a synthetic "
            "task",
            config.eval, config.train);
    if (synthetic) return open_evaluation(config.eval, T, config.isolate_documents, max_rows);
    const auto corpus = Corpus::open(config.eval);
    require_other_corpus(config, Corpus::open(config.train)->tokens(), corpus->tokens());
    return evaluate_whole(corpus, T, config.isolate_documents, max_rows);
  }
  if (synthetic) return open_evaluation(config.train, T, config.isolate_documents, max_rows);
  require_fraction(config);
  if (config.eval_fraction == 0) return nullptr;
  const auto corpus = Corpus::open(config.train);
  return std::make_unique<CorpusEvaluation>(corpus,
                                            split_corpus(*corpus, config.eval_fraction).held_out, T,
                                            config.isolate_documents, max_rows);
}

std::unique_ptr<EvaluationSource> open_evaluation(const std::string& name, std::int64_t T,
                                                  bool isolate_documents, std::int64_t max_rows) {
  require_sizes(T, max_rows);
  if (is_synthetic(name)) {
    return open_synthetic_evaluation(parse_synthetic(name), T,
                                     max_rows == 0 ? kSyntheticEvaluationRows : max_rows);
  }
  return evaluate_whole(Corpus::open(name), T, isolate_documents, max_rows);
}

}  // namespace mixspan
