// The names inside a corpus file, shared by its writer and its reader.
#pragma once

#include <cstdint>
#include <string>

namespace mixspan::corpus_format {

// Attributes of the file. Each dataset NAME also has an attribute "NAME.xxh3", 16 hex digits over
// its elements as little-endian bytes.
inline const std::string kFormat = "format";
inline const std::string kFormatName = "mixspan-corpus";
inline const std::string kVersion = "version";
inline const std::string kVocabSize = "vocab_size";
inline const std::string kEndOfText = "end_of_text";
inline const std::string kTokenizerName = "tokenizer_name";
inline constexpr std::int64_t kNewestVersion = 1;

// Datasets.
inline const std::string kTokens = "tokens";  ///< u16 up to a vocabulary of 65536, else i32
inline const std::string kOffsets = "document_offsets";  ///< i64, one more than documents
inline const std::string kBytes = "document_bytes";      ///< i64
inline const std::string kHashes = "document_hashes";    ///< i64, the bits of an XXH3 digest
inline const std::string kTokenizer = "tokenizer";       ///< u8, JSON
inline const std::string kTokenBytes = "token_bytes";    ///< i32, one for each id

inline std::string digest_of(const std::string& dataset) { return dataset + ".xxh3"; }

}  // namespace mixspan::corpus_format
