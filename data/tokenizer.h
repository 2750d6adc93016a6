// Text to tokens and back. Two kinds: bytes, and byte-level BPE as GPT-2 has it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mixspan {

/// What encode() does where the text spells a special token out, such as "<|endoftext|>".
enum class SpecialTokens {
  recognise,  ///< it becomes that token, as Hugging Face tokenizers do by default
  as_text,    ///< it is text like any other: for corpora and prompts that others wrote
};

/// Immutable once made; every member may be called from many threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// The tokens of `text`, which may be any bytes (UTF-8 or not). Nothing is added at either end.
  /// Token for token what Hugging Face gives for valid UTF-8 with add_special_tokens=False (and,
  /// for as_text, split_special_tokens=True). Time and scratch memory grow linearly (times a
  /// logarithm) with the text, whatever it holds.
  virtual std::vector<std::int32_t> encode(
      std::string_view text, SpecialTokens special = SpecialTokens::recognise) const = 0;
  /// True when a text may be encoded in parts: encode(a) and then encode(b) is encode(a + b)
  /// wherever last_safe_cut (data/text_cuts.h) would cut. False when a token is spelt with such a
  /// place inside, such as an added token "New York".
  virtual bool encodes_in_parts() const { return true; }
  /// The bytes of the tokens: decode(encode(x)) == x for any bytes x. A lone token may be a part of
  /// a UTF-8 character. An id outside the vocabulary throws Error.
  virtual std::string decode(std::span<const std::int32_t> ids) const = 0;
  /// One more than the largest id.
  virtual std::int64_t vocab_size() const = 0;
  /// The id that ends a document.
  virtual std::int32_t end_of_text() const = 0;
  /// "byte", or "bpe:" and the size of the vocabulary.
  virtual std::string name() const = 0;
  /// Everything needed to make the same tokenizer again: what a corpus and a checkpoint store. The
  /// same tokenizer gives the same string, whichever files it came from.
  virtual std::string to_json() const = 0;
};

/// 256 byte values and the end of text, which is 256.
std::unique_ptr<Tokenizer> make_byte_tokenizer();

/// From what a user names: "byte" | "bpe:FILE" (a tokenizer.json) | "hf:DIR" (a folder with
/// tokenizer.json, or vocab.json + merges.txt, or encoder.json + vocab.bpe). Anything that is not a
/// byte-level BPE with GPT-2's splitting is refused in one line.
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& spec);

/// From to_json(), or from the content of a Hugging Face tokenizer.json. `where` names the source
/// in refusals.
std::unique_ptr<Tokenizer> tokenizer_from_json(const std::string& json, const std::string& where);

/// Writes tokenizer.json, vocab.json, merges.txt and tokenizer_config.json into `dir` (made when it
/// is not there), from which Hugging Face's AutoTokenizer and tokenizers.Tokenizer.from_file give
/// the same tokens.
void write_hf_tokenizer(const Tokenizer& tokenizer, const std::filesystem::path& dir);

}  // namespace mixspan
