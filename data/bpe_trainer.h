// Learns a byte-level BPE vocabulary from text.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace mixspan {

/// Gives the next piece of text (a document, a file), or returns false at the end. Words do not
/// cross pieces.
using TextPieces = std::function<bool(std::string& piece)>;

/// Trains on every piece and returns a tokenizer.json (tokenizer_from_json reads it, and so does
/// Hugging Face). Ids: the 256 byte symbols in GPT-2's order, "<|endoftext|>" (256), then the
/// merged tokens in the order they were learnt, vocab_size in all. Each merge is the most frequent
/// pair; among equals the one with the smallest ids, left before right, as Hugging Face's trainer
/// does. A pair must occur twice. Memory grows with the distinct words, not with the text. Refuses
/// vocab_size < 257 and text with too little in it to reach vocab_size.
std::string train_bpe(const TextPieces& next, std::int64_t vocab_size);

}  // namespace mixspan
