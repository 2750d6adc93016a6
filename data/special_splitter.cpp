#include "data/special_splitter.h"

#include <algorithm>

namespace mixspan {

SpecialSplitter::SpecialSplitter(const std::vector<AddedToken>& tokens) {
  for (const AddedToken& token : tokens) {
    Pass& pass = passes_[token.normalized ? 1 : 0];
    pass.tokens[static_cast<std::uint8_t>(token.content.front())].push_back(token);
    pass.empty = false;
  }
  for (Pass& pass : passes_) {
    for (auto& same_start : pass.tokens) {
      std::stable_sort(same_start.begin(), same_start.end(),
                       [](const AddedToken& a, const AddedToken& b) {
                         return a.content.size() > b.content.size();
                       });
    }
  }
}

void SpecialSplitter::run_pass(const Pass& pass, std::string_view text, SpecialTokens special,
                               std::vector<Piece>& pieces) {
  std::size_t begin = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    const auto& candidates = pass.tokens[static_cast<std::uint8_t>(text[at])];
    const auto found = std::find_if(
        candidates.begin(), candidates.end(),
        [&](const AddedToken& token) { return text.substr(at).starts_with(token.content); });
    if (found == candidates.end()) {
      ++at;
      continue;
    }
    const std::size_t end = at + found->content.size();
    // A special token that counts as text still hides shorter tokens inside it, as in `tokenizers`.
    if (!found->special || special == SpecialTokens::recognise) {
      if (at > begin) pieces.push_back({text.substr(begin, at - begin), -1});
      pieces.push_back({text.substr(at, end - at), found->id});
      begin = end;
    }
    at = end;
  }
  if (begin < text.size()) pieces.push_back({text.substr(begin), -1});
}

std::vector<SpecialSplitter::Piece> SpecialSplitter::split(std::string_view text,
                                                           SpecialTokens special) const {
  std::vector<Piece> pieces;
  if (!text.empty()) pieces.push_back({text, -1});
  for (const Pass& pass : passes_) {
    if (pass.empty) continue;
    std::vector<Piece> finer;
    for (const Piece& piece : pieces) {
      if (piece.id >= 0) {
        finer.push_back(piece);
      } else {
        run_pass(pass, piece.text, special, finer);
      }
    }
    pieces = std::move(finer);
  }
  return pieces;
}

}  // namespace mixspan
