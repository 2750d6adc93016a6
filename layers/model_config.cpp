#include "layers/model_config.h"

#include <charconv>
#include <numeric>

#include "core/error.h"

namespace mixspan {

namespace {

constexpr const char* kPlacements =
    "none, all, bottom:N, middle:N, top:N, spaced:N or a list of layers such as \"0,3,5\"";

std::int64_t read_number(std::string_view digits, std::string_view text) {
  std::int64_t n = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
  require(error == std::errc{} && end == digits.data() + digits.size() && n >= 0,
          "model.full_layers = \"{}\": wanted {}", text, kPlacements);
  return n;
}

std::vector<std::int64_t> read_list(const std::string& text, std::int64_t layers) {
  std::vector<std::int64_t> full;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    std::string_view item(text.data() + begin, end - begin);
    while (item.starts_with(' ')) item.remove_prefix(1);
    while (item.ends_with(' ')) item.remove_suffix(1);
    const std::int64_t layer = read_number(item, text);
    require(layer < layers, "model.full_layers = \"{}\": layer {} of a model with layers 0..{}",
            text, layer, layers - 1);
    require(full.empty() || layer > full.back(),
            "model.full_layers = \"{}\": wanted rising layers without repeats", text);
    full.push_back(layer);
    begin = end + 1;
  }
  return full;
}

}  // namespace

std::vector<std::int64_t> parse_placement(const std::string& text, std::int64_t layers) {
  std::vector<std::int64_t> full;
  if (text == "none") return full;
  const std::size_t colon = text.find(':');
  if (text != "all" && colon == std::string::npos) return read_list(text, layers);
  const std::string kind = text.substr(0, colon);
  const std::int64_t n =
      text == "all" ? layers : read_number(std::string_view(text).substr(colon + 1), text);
  require(n <= layers, "model.full_layers = \"{}\": {} full layers of {}", text, n, layers);
  full.resize(static_cast<std::size_t>(n));
  if (kind == "all" || kind == "bottom") {
    std::iota(full.begin(), full.end(), 0);
  } else if (kind == "middle") {
    std::iota(full.begin(), full.end(), (layers - n) / 2);
  } else if (kind == "top") {
    std::iota(full.begin(), full.end(), layers - n);
  } else if (kind == "spaced") {
    for (std::int64_t k = 0; k < n; ++k) full[static_cast<std::size_t>(k)] = k * layers / n;
  } else {
    refuse("model.full_layers = \"{}\": wanted {}", text, kPlacements);
  }
  return full;
}

std::vector<AnySpan> layer_spans(const ModelConfig& c) {
  std::vector<AnySpan> spans;
  if (!c.spans.empty()) {
    require(static_cast<std::int64_t>(c.spans.size()) == c.layers,
            "model.spans lists {} spans for {} layers; wanted one for each layer", c.spans.size(),
            c.layers);
    for (const std::string& s : c.spans) spans.push_back(parse_span(s));
    return spans;
  }
  spans.assign(static_cast<std::size_t>(c.layers), parse_span(c.span));
  for (std::int64_t layer : parse_placement(c.full_layers, c.layers)) {
    spans[static_cast<std::size_t>(layer)] = FullSpan{};
  }
  return spans;
}

Recompute parse_recompute(const std::string& text) {
  if (text == "none") return Recompute::none;
  if (text == "selective") return Recompute::selective;
  if (text == "products") return Recompute::products;
  if (text == "full") return Recompute::full;
  refuse("model.recompute = \"{}\": wanted none, selective, products or full", text);
}

void validate(const ModelConfig& c) {
  require(c.width % c.heads == 0, "model.heads = {} does not divide model.width = {}", c.heads,
          c.width);
  const std::int64_t h = c.head_size();
  require(
      h >= 8 && h <= 256 && h % 8 == 0,
      "model.width / model.heads = {} / {} gives heads of size {}; wanted a multiple of 8 from 8 "
      "to 256",
      c.width, c.heads, h);
  require(c.attention_scale == "one" || c.attention_scale == "inverse-sqrt",
          "model.attention_scale = \"{}\": wanted inverse-sqrt or one", c.attention_scale);
  parse_recompute(c.recompute);
  layer_spans(c);
}

}  // namespace mixspan
