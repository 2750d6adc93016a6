#include "data/corpus.h"

#include <algorithm>
#include <list>
#include <mutex>
#include <unordered_map>

#include "core/error.h"
#include "core/h5.h"
#include "core/hash.h"
#include "data/corpus_format.h"

namespace mixspan {

namespace names = corpus_format;

namespace {

// Blocks are H5File's chunks, so that no chunk is read and checked twice for two blocks.
constexpr std::int64_t kBlockBytes = 1 << 20;
constexpr std::size_t kCachedBlocks = 256;

void require_digest(const H5File& file, const std::string& name, std::uint64_t got) {
  const std::string wanted = file.text_attribute(names::digest_of(name));
  require(to_hex(got) == wanted,
          "{}: '{}' has digest {}; wanted {}: the file is damaged, prepare it again",
          file.path().string(), name, to_hex(got), wanted);
}

template <class T>
std::vector<T> read_column(const H5File& file, const std::string& name) {
  const Shape shape = file.shape(name);
  require(shape.rank() == 1 && file.dtype(name) == dtype_of<T>(), "{}: '{}' is {} {}; wanted {}",
          file.path().string(), name, name_of(file.dtype(name)), shape.str(),
          name_of(dtype_of<T>()));
  std::vector<T> column(static_cast<std::size_t>(shape.size()));
  if (!column.empty()) file.read(name, View(column.data(), dtype_of<T>(), shape));
  require_digest(file, name, xxh3_64(column.data(), column.size() * sizeof(T)));
  return column;
}

}  // namespace

struct Corpus::State {
  explicit State(const std::filesystem::path& path) : file(H5File::open(path)) {}
  void read_header();
  void read_documents();
  void verify_tokens();
  template <class T>
  void verify_tokens_as();
  template <class T>
  void read_as(std::int64_t begin, std::span<std::int32_t> into);
  const std::byte* block(std::int64_t index);  // the caller holds the mutex

  H5File file;
  CorpusTokens tokens;
  DType dtype = DType::u16;
  std::int64_t num_tokens = 0;
  std::vector<std::int64_t> offsets, bytes, hashes;
  std::uint64_t digest = 0;

  struct Block {
    std::int64_t index;
    std::vector<std::byte> data;
  };
  std::mutex mutex;
  std::list<Block> recent;  // most recently used first
  std::unordered_map<std::int64_t, std::list<Block>::iterator> cached;

  std::int64_t per_block() const { return kBlockBytes / static_cast<std::int64_t>(size_of(dtype)); }
};

void Corpus::State::read_header() {
  const std::string path = file.path().string();
  require(file.has_attribute(names::kFormat) &&
              file.text_attribute(names::kFormat) == names::kFormatName,
          "{}: an HDF5 file, but no corpus", path);
  const std::int64_t version = file.int_attribute(names::kVersion);
  require(version == names::kNewestVersion,
          "{}: a corpus of version {}; this program reads version {}: prepare it again", path,
          version, names::kNewestVersion);
  tokens.vocab_size = file.int_attribute(names::kVocabSize);
  tokens.end_of_text = static_cast<std::int32_t>(file.int_attribute(names::kEndOfText));
  tokens.tokenizer_name = file.text_attribute(names::kTokenizerName);
  tokens.tokenizer_json = file.read_text(names::kTokenizer);
  require_digest(file, names::kTokenizer,
                 xxh3_64(tokens.tokenizer_json.data(), tokens.tokenizer_json.size()));
  tokens.num_bytes = read_column<std::int32_t>(file, names::kTokenBytes);
  require(std::ssize(tokens.num_bytes) == tokens.vocab_size && tokens.end_of_text >= 0 &&
              tokens.end_of_text < tokens.vocab_size,
          "{}: vocabulary {}, end of text {} and {} token sizes do not fit together", path,
          tokens.vocab_size, tokens.end_of_text, tokens.num_bytes.size());
}

void Corpus::State::read_documents() {
  offsets = read_column<std::int64_t>(file, names::kOffsets);
  bytes = read_column<std::int64_t>(file, names::kBytes);
  hashes = read_column<std::int64_t>(file, names::kHashes);
  dtype = file.dtype(names::kTokens);
  num_tokens = file.shape(names::kTokens).size();
  const bool fits = offsets.size() == bytes.size() + 1 && offsets.size() == hashes.size() + 1 &&
                    offsets.size() >= 2 && offsets.front() == 0 && offsets.back() == num_tokens &&
                    std::is_sorted(offsets.begin(), offsets.end(), std::less_equal<>());
  require(fits && (dtype == DType::u16 || dtype == DType::i32),
          "{}: document bounds and tokens do not fit together: the file is damaged",
          file.path().string());
}

template <class T>
void Corpus::State::verify_tokens_as() {
  Xxh3 hash;
  std::vector<T> piece(static_cast<std::size_t>(per_block()));
  T largest = 0, smallest = 0;
  for (std::int64_t at = 0; at < num_tokens; at += per_block()) {
    const std::int64_t count = std::min(per_block(), num_tokens - at);
    file.read_range(names::kTokens, at, View(piece.data(), dtype, Shape{count}));
    hash.update(piece.data(), static_cast<std::size_t>(count) * sizeof(T));
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      smallest = std::min(smallest, piece[i]);
      largest = std::max(largest, piece[i]);
    }
  }
  require_digest(file, names::kTokens, hash.digest());
  require(smallest >= 0 && largest < tokens.vocab_size,
          "{}: holds tokens from {} to {}; wanted a vocabulary of {}", file.path().string(),
          smallest, largest, tokens.vocab_size);
}

void Corpus::State::verify_tokens() {
  dispatch<std::uint16_t, std::int32_t>("corpus", dtype, [&]<class T>() { verify_tokens_as<T>(); });
  std::string all = fmt::format("{} {} ", tokens.vocab_size, tokens.end_of_text);
  for (const auto& name : {names::kTokens, names::kOffsets, names::kBytes, names::kHashes,
                           names::kTokenizer, names::kTokenBytes}) {
    all += file.text_attribute(names::digest_of(name));
  }
  digest = xxh3_64(all.data(), all.size());
}

const std::byte* Corpus::State::block(std::int64_t index) {
  if (const auto found = cached.find(index); found != cached.end()) {
    recent.splice(recent.begin(), recent, found->second);
    return recent.front().data.data();
  }
  const std::int64_t begin = index * per_block();
  const std::int64_t count = std::min(per_block(), num_tokens - begin);
  Block fresh{index, std::vector<std::byte>(static_cast<std::size_t>(count) * size_of(dtype))};
  file.read_range(names::kTokens, begin, View(fresh.data.data(), dtype, Shape{count}));
  recent.push_front(std::move(fresh));
  cached[index] = recent.begin();
  if (recent.size() > kCachedBlocks) {
    cached.erase(recent.back().index);
    recent.pop_back();
  }
  return recent.front().data.data();
}

template <class T>
void Corpus::State::read_as(std::int64_t begin, std::span<std::int32_t> into) {
  const std::lock_guard lock(mutex);
  for (std::size_t done = 0; done < into.size();) {
    const std::int64_t at = begin + static_cast<std::int64_t>(done);
    const std::int64_t skip = at % per_block();
    const std::size_t count =
        std::min(into.size() - done, static_cast<std::size_t>(per_block() - skip));
    // Blocks are allocated as bytes but only ever hold T, aligned as operator new aligns.
    const T* from = reinterpret_cast<const T*>(block(at / per_block())) + skip;
    std::copy_n(from, count, into.begin() + static_cast<std::ptrdiff_t>(done));
    done += count;
  }
}

Corpus::Corpus(std::unique_ptr<State> state) : state_(std::move(state)) {}
Corpus::~Corpus() = default;

std::shared_ptr<const Corpus> Corpus::open(const std::filesystem::path& path) try {
  auto state = std::make_unique<State>(path);
  state->read_header();
  state->read_documents();
  state->verify_tokens();
  return std::shared_ptr<const Corpus>(new Corpus(std::move(state)));
} catch (const InputError& e) {
  refuse("{} ('mixspan prepare' makes a corpus)", e.what());
}

const CorpusTokens& Corpus::tokens() const { return state_->tokens; }
std::int64_t Corpus::num_documents() const { return std::ssize(state_->bytes); }
std::int64_t Corpus::num_tokens() const { return state_->num_tokens; }
std::span<const std::int64_t> Corpus::document_offsets() const { return state_->offsets; }
std::span<const std::int64_t> Corpus::document_bytes() const { return state_->bytes; }
std::span<const std::int64_t> Corpus::document_hashes() const { return state_->hashes; }
std::uint64_t Corpus::digest() const { return state_->digest; }
const std::filesystem::path& Corpus::path() const { return state_->file.path(); }

void Corpus::read(std::int64_t begin, std::span<std::int32_t> into) const {
  check(begin >= 0 && begin + std::ssize(into) <= state_->num_tokens,
        "{}: tokens [{}, {}) of {} asked for", path().string(), begin, begin + std::ssize(into),
        state_->num_tokens);
  dispatch<std::uint16_t, std::int32_t>("corpus", state_->dtype,
                                        [&]<class T>() { state_->read_as<T>(begin, into); });
}

}  // namespace mixspan
