#include <unistd.h>

#include <limits>
#include <optional>

#include "core/durable_file.h"
#include "core/error.h"
#include "core/h5.h"
#include "core/hash.h"
#include "data/corpus.h"
#include "data/corpus_format.h"

namespace mixspan {

namespace fs = std::filesystem;
namespace names = corpus_format;

namespace {

constexpr std::size_t kBufferedElements = std::size_t{1} << 20;

// A dataset that grows: elements are collected, hashed and appended in large pieces.
template <class T>
class Column {
 public:
  explicit Column(std::string name) : name_(std::move(name)) { buffer_.reserve(kBufferedElements); }

  void push(T value, H5File& file) {
    buffer_.push_back(value);
    if (buffer_.size() == kBufferedElements) flush(file);
  }
  void finish(H5File& file) {
    flush(file, true);
    file.set_attribute(names::digest_of(name_), to_hex(hash_.digest()));
  }

 private:
  void flush(H5File& file, bool last = false) {
    hash_.update(buffer_.data(), buffer_.size() * sizeof(T));
    const ConstView data(buffer_.data(), dtype_of<T>(),
                         Shape{static_cast<std::int64_t>(buffer_.size())});
    if (last && !file.has(name_)) {
      file.write(name_, data);  // a small column takes no more room than it needs
    } else {
      file.append(name_, data);
    }
    buffer_.clear();
  }
  std::string name_;
  std::vector<T> buffer_;
  Xxh3 hash_;
};

bool is_corpus(const fs::path& path) {
  try {
    const H5File file = H5File::open(path);
    return file.has_attribute(names::kFormat) &&
           file.text_attribute(names::kFormat) == names::kFormatName;
  } catch (const InputError&) {
    return false;
  }
}

// Where the corpus is built. Throws unless `out` may become a corpus.
fs::path part_of(const fs::path& out) {
  const fs::path folder = out.has_parent_path() ? out.parent_path() : fs::path(".");
  require(fs::is_directory(folder), "{}: there is no folder {} to write to", out.string(),
          folder.string());
  require(::access(folder.c_str(), W_OK) == 0, "{}: the folder {} cannot be written to",
          out.string(), folder.string());
  require(!fs::exists(out) || is_corpus(out),
          "{}: exists and is no corpus, so it is not replaced; name another file or remove it",
          out.string());
  fs::path part = out;
  part += ".tmp";
  return part;
}

}  // namespace

struct CorpusWriter::State {
  State(fs::path out_path, CorpusTokens corpus_tokens)
      : out(std::move(out_path)),
        part(part_of(out)),
        file(H5File::create(part)),
        tokens(std::move(corpus_tokens)) {}

  void push_token(std::int32_t token) {
    check(token >= 0 && token < tokens.vocab_size, "{}: token {} is outside a vocabulary of {}",
          out.string(), token, tokens.vocab_size);
    if (narrow()) {
      narrow_tokens.push(static_cast<std::uint16_t>(token), file);
    } else {
      wide_tokens.push(token, file);
    }
    ++num_tokens;
  }
  bool narrow() const {
    return tokens.vocab_size <= std::int64_t{std::numeric_limits<std::uint16_t>::max()} + 1;
  }
  void write_header() {
    file.write_text(names::kTokenizer, tokens.tokenizer_json);
    file.set_attribute(names::digest_of(names::kTokenizer),
                       to_hex(xxh3_64(tokens.tokenizer_json.data(), tokens.tokenizer_json.size())));
    file.write(names::kTokenBytes,
               ConstView(tokens.num_bytes.data(), DType::i32, Shape{std::ssize(tokens.num_bytes)}));
    file.set_attribute(
        names::digest_of(names::kTokenBytes),
        to_hex(xxh3_64(tokens.num_bytes.data(), tokens.num_bytes.size() * sizeof(std::int32_t))));
    file.set_attribute(names::kVocabSize, tokens.vocab_size);
    file.set_attribute(names::kEndOfText, std::int64_t{tokens.end_of_text});
    file.set_attribute(names::kTokenizerName, tokens.tokenizer_name);
    file.set_attribute(names::kVersion, names::kNewestVersion);
    file.set_attribute(names::kFormat, names::kFormatName);
  }

  const fs::path out, part;
  H5File file;
  const CorpusTokens tokens;
  Column<std::uint16_t> narrow_tokens{names::kTokens};
  Column<std::int32_t> wide_tokens{names::kTokens};
  Column<std::int64_t> offsets{names::kOffsets}, bytes{names::kBytes}, hashes{names::kHashes};
  std::int64_t num_tokens = 0, num_documents = 0, text_bytes = 0;
  std::optional<Xxh3> text_hash;  // set inside a document
  bool finished = false;
};

CorpusWriter::CorpusWriter(fs::path out, CorpusTokens tokens) {
  check(!tokens.tokenizer_json.empty(), "{}: a corpus needs its tokenizer", out.string());
  check(std::ssize(tokens.num_bytes) == tokens.vocab_size,
        "{}: token sizes of {} ids; wanted {}, the vocabulary", out.string(),
        tokens.num_bytes.size(), tokens.vocab_size);
  state_ = std::make_unique<State>(std::move(out), std::move(tokens));
}

CorpusWriter::~CorpusWriter() {
  if (state_->finished) return;
  std::error_code ignored;
  fs::remove(state_->part, ignored);
}

void CorpusWriter::begin_document() {
  State& s = *state_;
  check(!s.text_hash, "{}: a document begins inside another", s.out.string());
  s.offsets.push(s.num_tokens, s.file);
  s.push_token(s.tokens.end_of_text);
  s.text_hash.emplace();
  s.text_bytes = 0;
}

void CorpusWriter::append(std::span<const std::int32_t> tokens, std::string_view text) {
  State& s = *state_;
  check(s.text_hash.has_value(), "{}: text outside a document", s.out.string());
  for (std::int32_t token : tokens) s.push_token(token);
  s.text_hash->update(text.data(), text.size());
  s.text_bytes += std::ssize(text);
}

void CorpusWriter::end_document() {
  State& s = *state_;
  check(s.text_hash.has_value(), "{}: a document ends that did not begin", s.out.string());
  s.bytes.push(s.text_bytes, s.file);
  s.hashes.push(static_cast<std::int64_t>(s.text_hash->digest()), s.file);
  s.text_hash.reset();
  ++s.num_documents;
}

void CorpusWriter::finish() {
  State& s = *state_;
  check(!s.text_hash && !s.finished, "{}: finished twice or inside a document", s.out.string());
  require(s.num_documents > 0, "{}: the inputs hold no text", s.out.string());
  if (s.narrow()) {
    s.narrow_tokens.finish(s.file);
  } else {
    s.wide_tokens.finish(s.file);
  }
  s.offsets.push(s.num_tokens, s.file);
  s.offsets.finish(s.file);
  s.bytes.finish(s.file);
  s.hashes.finish(s.file);
  s.write_header();
  s.file.close();
  fs::rename(s.part, s.out);
  s.finished = true;
  fsync_path(s.out.has_parent_path() ? s.out.parent_path() : fs::path("."));
}

}  // namespace mixspan
