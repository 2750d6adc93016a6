// prepare and tokenizer train: from text to tokens.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "core/durable_file.h"
#include "core/error.h"
#include "data/bpe_trainer.h"
#include "data/prepare.h"
#include "data/text_source.h"
#include "data/tokenizer.h"
#include "experiments/cli/commands.h"
#include "experiments/run/progress.h"

namespace mixspan {

namespace {

// What was left out on the way, so that nobody wonders where their text went.
void print_counts(const TextCounts& c) {
  const auto note = [](std::int64_t n, const char* what) {
    if (n > 0) fmt::print("  {} {}\n", n, what);
  };
  note(c.binary_files, "binary files left out");
  note(c.empty_documents, "empty documents left out");
  note(c.broken_utf8, "documents with bytes that are not UTF-8, kept as they are");
  note(c.cut_words, "words longer than 16 MiB, cut");
}

}  // namespace

ExitCode prepare_command(const PrepareArgs& a) {
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(a.tokenizer);
  ThreadPool threads;
  const bool live = isatty(STDERR_FILENO) != 0;
  const PrepareSummary s =
      prepare(a.inputs, a.out, *tokenizer, threads, [&](const PrepareProgress& p) {
        if (!live) return;
        fmt::print(stderr, "\r{:3.0f} %  {} documents  {} tokens  {}/s \x1b[K", 100 * p.fraction,
                   human_count(static_cast<double>(p.documents)),
                   human_count(static_cast<double>(p.tokens)),
                   human_bytes(static_cast<std::int64_t>(static_cast<double>(p.bytes) /
                                                         std::max(p.seconds, 1e-3))));
        std::fflush(stderr);
      });
  if (live) fmt::print(stderr, "\r\x1b[K");
  fmt::print(
      "{}: {} documents, {} tokens ({}), {} of text, {:.2f} bytes a token, {:.1f} s\n",
      a.out.string(), s.documents, s.tokens, tokenizer->name(), human_bytes(s.bytes),
      static_cast<double>(s.bytes) / static_cast<double>(std::max<std::int64_t>(1, s.tokens)),
      s.seconds);
  print_counts(s.text);
  return kFinished;
}

ExitCode tokenizer_train_command(const TokenizerTrainArgs& a) {
  TextSource source(a.inputs);
  TextPart part;
  const std::string json = train_bpe(
      [&](std::string& piece) {
        if (!source.next(part)) return false;
        piece = std::move(part.text);
        return true;
      },
      a.vocab);
  if (a.out.has_parent_path()) std::filesystem::create_directories(a.out.parent_path());
  replace_file(a.out, json);
  fmt::print("{}: {} tokens learnt from {} files, {}\n", a.out.string(), a.vocab,
             source.counts().files, human_bytes(source.bytes_read()));
  print_counts(source.counts());
  return kFinished;
}

}  // namespace mixspan
