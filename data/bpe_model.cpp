#include "data/bpe_model.h"

#include <algorithm>
#include <boost/unordered/unordered_flat_map.hpp>

#include "core/error.h"
#include "data/byte_symbols.h"

namespace mixspan {

namespace {

using Ids = boost::unordered_flat_map<std::string_view, std::int32_t>;

/// Files may leave ids out, but not so many that a table by id is a trap for the memory.
constexpr std::int64_t kMaxHoles = 65536;

std::int32_t checked_id(std::int64_t id, std::size_t tokens, std::string_view token,
                        const std::string& where) {
  const std::int64_t limit = 2 * static_cast<std::int64_t>(tokens) + kMaxHoles;
  require(id >= 0 && id < limit,
          "{}: the token '{}' has the id {}; ids of its {} tokens must be 0..{}", where,
          shown(token), id, tokens, limit - 1);
  return static_cast<std::int32_t>(id);
}

/// Fills spelling; returns the ids by spelling (views into `parts`).
Ids place_vocab(const BpeParts& parts, BpeModel& model, const std::string& where) {
  Ids ids;
  ids.reserve(parts.vocab.size());
  const std::size_t tokens = parts.vocab.size() + parts.added.size();
  for (const auto& [spelling, wide_id] : parts.vocab) {
    const std::int32_t id = checked_id(wide_id, tokens, spelling, where);
    const auto index = static_cast<std::size_t>(id);
    if (index >= model.spelling.size()) model.spelling.resize(index + 1);
    require(!spelling.empty(), "{}: the token with id {} is empty", where, id);
    require(model.spelling[index].empty(), "{}: the tokens '{}' and '{}' both have the id {}",
            where, shown(model.spelling[index]), shown(spelling), id);
    require(ids.emplace(spelling, id).second, "{}: the token '{}' is there twice", where,
            shown(spelling));
    model.spelling[index] = spelling;
  }
  return ids;
}

void place_bytes(const Ids& ids, BpeModel& model, const std::string& where) {
  const ByteSymbols symbols;
  for (int b = 0; b < 256; ++b) {
    const std::string& symbol = symbols.symbol(static_cast<std::uint8_t>(b));
    const auto found = ids.find(symbol);
    require(found != ids.end(),
            "{}: not a byte-level BPE: no token for the byte {:#04x} (spelt '{}'); vocabularies in "
            "the manner of GPT-2 have all 256",
            where, b, symbol);
    model.byte_ids[static_cast<std::size_t>(b)] = found->second;
  }
}

void place_merges(const BpeParts& parts, const Ids& ids, BpeModel& model,
                  const std::string& where) {
  const auto id_of = [&](const std::string& token, std::size_t rank) {
    const auto found = ids.find(token);
    require(found != ids.end(),
            "{}: merge {} ('{}' + '{}') names the token '{}', which the vocabulary lacks; the "
            "merges and the vocabulary must come from one tokenizer",
            where, rank + 1, shown(parts.merges[rank].first), shown(parts.merges[rank].second),
            shown(token));
    return found->second;
  };
  boost::unordered_flat_map<std::uint64_t, std::size_t> last;  // the rank that counts, by pair
  const auto key = [](std::int32_t left, std::int32_t right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 |
           static_cast<std::uint32_t>(right);
  };
  std::vector<BpeMerge> merges;
  for (std::size_t rank = 0; rank < parts.merges.size(); ++rank) {
    const auto& [left, right] = parts.merges[rank];
    merges.push_back({id_of(left, rank), id_of(right, rank), id_of(left + right, rank)});
    last[key(merges.back().left, merges.back().right)] = rank;
  }
  // Of a pair that is there twice, Hugging Face keeps the later rank.
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const BpeMerge& m = merges[rank];
    if (last[key(m.left, m.right)] == rank) model.merges.push_back(m);
  }
}

void place_added(const BpeParts& parts, const Ids& ids, BpeModel& model, const std::string& where) {
  const std::size_t tokens = parts.vocab.size() + parts.added.size();
  for (AddedToken token : parts.added) {
    if (token.content.empty()) continue;
    token.id = checked_id(token.id, tokens, token.content, where);
    const auto found = ids.find(token.content);
    const auto index = static_cast<std::size_t>(token.id);
    const bool taken = index < model.spelling.size() && !model.spelling[index].empty();
    require(found == ids.end() ? !taken : found->second == token.id,
            "{}: the added token '{}' has the id {}, but the vocabulary says otherwise", where,
            shown(token.content), token.id);
    model.added.push_back(std::move(token));
  }
  std::sort(model.added.begin(), model.added.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  const auto twice =
      std::adjacent_find(model.added.begin(), model.added.end(),
                         [](const AddedToken& a, const AddedToken& b) { return a.id == b.id; });
  require(twice == model.added.end(), "{}: two added tokens have the id {}", where,
          twice == model.added.end() ? 0 : twice->id);
}

std::int32_t find_end_of_text(const Ids& ids, const BpeModel& model, const std::string& where) {
  for (const std::string_view name : {kEndOfText, std::string_view("<|end_of_text|>"),
                                      std::string_view("</s>"), std::string_view("<eos>")}) {
    for (const AddedToken& token : model.added) {
      if (token.content == name) return token.id;
    }
    if (const auto found = ids.find(name); found != ids.end()) return found->second;
  }
  refuse(
      "{}: no token that ends a document ('<|endoftext|>', '<|end_of_text|>', '</s>' or '<eos>'); "
      "add one to the vocabulary",
      where);
}

}  // namespace

std::string shown(std::string_view text) {
  std::string out(text.substr(0, 60));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text.size() > 60 ? out + "..." : out;
}

std::int64_t BpeModel::vocab_size() const {
  const std::int64_t of_added = added.empty() ? 0 : std::int64_t{added.back().id} + 1;
  return std::max(static_cast<std::int64_t>(spelling.size()), of_added);
}

BpeModel make_bpe_model(const BpeParts& parts, const std::string& where) {
  BpeModel model;
  const Ids ids = place_vocab(parts, model, where);
  place_bytes(ids, model, where);
  place_merges(parts, ids, model, where);
  place_added(parts, ids, model, where);
  model.end_of_text = find_end_of_text(ids, model, where);
  return model;
}

}  // namespace mixspan
