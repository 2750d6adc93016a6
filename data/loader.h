// Rows of tokens for training and evaluation. A row is a pure function of (seed, index): a run that
// is continued, or spread over any number of ranks, asks for the indices it needs and gets the same
// tokens.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/targets.h"
#include "core/tensor.h"

namespace mixspan {

/// Which data a run reads.
struct DataConfig {
  /// A corpus made by `mixspan prepare`, or a task such as "synthetic:recall".
  std::string train;
  /// What to evaluate on; empty: what eval_fraction holds out of `train`.
  std::string eval;
  /// Share of the documents of `train` that is held out, chosen by a hash of each document's text:
  /// equal texts fall on the same side, and the choice is the same for every tokenizer. 0: none.
  double eval_fraction = 0.05;
  /// Attention never crosses from one document into the one before it in the row, and positions
  /// restart. Off as in GPT-2 and GPT-Neo: every position of a long context then gets trained
  /// even where documents are short, and the end-of-text token tells the model where one ends.
  bool isolate_documents = false;
  friend bool operator==(const DataConfig&, const DataConfig&) = default;
};

/// B rows of T tokens.
struct Batch {
  Tensor tokens;     ///< (B, T) i32
  Tensor targets;    ///< (B, T) i32: what follows each token, or kIgnoreTarget
  Tensor positions;  ///< (B, T) i32: rows of the position table
  /// (B, T) i32: where in its row the document of each token starts (AttentionRule's
  /// document_start). Empty, as a default-made Tensor, where documents are not isolated.
  Tensor document_start;
  std::int64_t num_targets = 0;  ///< targets that are not kIgnoreTarget
};

/// An endless stream of rows, each a pure function of its index and of what the source was opened
/// with. All functions may be called from any thread.
class SampleSource {
 public:
  virtual ~SampleSource() = default;
  /// Rows [first, first + count), first >= 0, count >= 1.
  virtual Batch rows(std::int64_t first, std::int64_t count) const = 0;
  virtual std::int64_t vocab_size() const = 0;  ///< every token and target is below it
  virtual std::int64_t row_tokens() const = 0;  ///< T
  /// One line for the log: what it is and how large.
  virtual std::string describe() const = 0;
  /// Of the data and of every setting that decides what a row holds: equal digests, equal rows.
  virtual std::uint64_t digest() const = 0;
  /// What tokenizer_from_json reads; empty where tokens are not text.
  virtual std::string tokenizer_json() const { return ""; }
  /// The accuracy of the best guess that ignores everything out of reach; 0 where unknown.
  virtual double chance() const { return 0; }
};

/// A finite list of rows: [0, num_rows()) are valid indices, and their targets never repeat.
class EvaluationSource : public SampleSource {
 public:
  virtual std::int64_t num_rows() const = 0;
  /// Bytes of text that the targets of rows [first, first + count) stand for, to turn a summed loss
  /// into bits per byte; 0 where tokens are not text.
  virtual std::int64_t text_bytes(std::int64_t first, std::int64_t count) const = 0;
};

inline constexpr std::int64_t kSyntheticEvaluationRows = 512;

/// The training rows of `config.train` in T tokens each. Corpus: the training documents one after
/// the other, each behind an end-of-text token, as one ring of tokens; an epoch cuts the ring at
/// its own random place into rows that do not overlap and visits them in its own random order.
/// Throws InputError that names the key and what would work.
std::unique_ptr<SampleSource> open_training(const DataConfig& config, std::int64_t T,
                                            std::uint64_t seed);

/// The rows to evaluate on, at most `max_rows` of them, spread evenly (0: all; a synthetic task has
/// kSyntheticEvaluationRows); null where `config` holds out nothing. Corpus: the held-out documents
/// one after the other, cut into windows that do not overlap; every token of a document and its
/// end is the target of exactly one position, and the last row is filled up with ignored targets.
/// Does not depend on any seed.
std::unique_ptr<EvaluationSource> open_evaluation(const DataConfig& config, std::int64_t T,
                                                  std::int64_t max_rows = 0);

/// The same over all documents of a corpus, or over a synthetic task.
std::unique_ptr<EvaluationSource> open_evaluation(const std::string& name, std::int64_t T,
                                                  bool isolate_documents, std::int64_t max_rows);

}  // namespace mixspan
