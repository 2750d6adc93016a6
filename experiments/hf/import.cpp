#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "core/error.h"
#include "experiments/hf/checked_json.h"
#include "experiments/hf/families.h"
#include "experiments/hf/safetensors.h"

namespace mixspan {

namespace {

constexpr const char* kHead = "lm_head.weight";
using Dims = std::vector<std::int64_t>;

// Reads a folder's tensors under the names of the class without head: "h.0..", not
// "transformer.h.0..".
class Importer {
 public:
  Importer(const std::filesystem::path& folder, const HfConfig& config)
      : config_(config),
        file_(Safetensors::open_folder(folder)),
        prefix_(file_.has("transformer.wte.weight") ? "transformer." : ""),
        parameters_(hf_parameters(config.model)) {}

  // Everything that config.json asks for is there in its shape, and nothing else. Comes before any
  // memory is taken, so a config.json that lies cannot ask for more than the file holds.
  void check_tensors() const {
    std::set<std::string> known{kHead};
    for (const HfParameter& p : parameters_) {
      for (const HfPiece& piece : pieces_of(config_.family, p)) {
        Dims dims(p.shape.dims().begin(), p.shape.dims().end());
        dims[0] = piece.rows;
        if (piece.transposed) std::swap(dims[0], dims[1]);
        check_shape(prefix_ + piece.name, dims);
        known.insert(prefix_ + piece.name);
      }
    }
    for (const auto& [name, entry] : file_.entries()) {
      const bool mask = name.starts_with(prefix_) && is_buffer(name.substr(prefix_.size()));
      require(mask || known.contains(name),
              "{}: tensor {} is no part of the {} that config.json describes", entry.file.string(),
              in_quotes(name), class_of(config_.family));
    }
    if (file_.has(kHead)) {
      check_shape(kHead, {config_.model.vocab, config_.model.width});
    } else {
      require(config_.tied, "{}: tie_word_embeddings = false but there is no {}",
              file_.source().string(), kHead);
    }
  }

  std::vector<NamedTensor> read() const {
    std::vector<NamedTensor> params;
    for (const HfParameter& p : parameters_) {
      Tensor tensor(p.shape);
      for (const HfPiece& piece : pieces_of(config_.family, p)) {
        const View rows = tensor.view().slice(0, piece.first_row, piece.first_row + piece.rows);
        piece.transposed ? read_transposed(piece, rows) : file_.read(prefix_ + piece.name, rows);
      }
      params.push_back({p.name, std::move(tensor)});
    }
    return params;
  }

  // Mixspan's head is the embedding table: another head cannot be held.
  void check_head(const Tensor& wte) const {
    if (!file_.has(kHead)) return;
    Tensor head(wte.shape());
    file_.read(kHead, head);
    require(std::memcmp(head.view().raw(), wte.view().raw(), wte.view().size_bytes()) == 0,
            "{}: {} differs from wte.weight; Mixspan's output head is the embedding table",
            file_.source().string(), kHead);
  }

 private:
  void check_shape(const std::string& name, const Dims& wanted) const {
    const SafetensorsEntry& entry = file_.entry(name);
    require(entry.dims == wanted, "{}: tensor {} has shape ({}); config.json asks for ({})",
            entry.file.string(), in_quotes(name), fmt::join(entry.dims, ", "),
            fmt::join(wanted, ", "));
  }

  void read_transposed(const HfPiece& piece, View rows) const {
    const std::int64_t R = rows.dim(0), C = rows.dim(1);
    Tensor theirs(Shape{C, R});
    file_.read(prefix_ + piece.name, theirs);
    for (std::int64_t r = 0; r < R; ++r) {
      for (std::int64_t c = 0; c < C; ++c) {
        rows.data<float>()[r * C + c] = theirs.data<float>()[c * R + r];
      }
    }
  }

  const HfConfig& config_;
  Safetensors file_;
  std::string prefix_;
  std::vector<HfParameter> parameters_;
};

}  // namespace

HfModel read_hf_model(const std::filesystem::path& folder) {
  std::error_code error;
  require(std::filesystem::is_directory(folder, error),
          "{}: no such folder; wanted one with config.json and model.safetensors", folder.string());
  const HfConfig config = read_hf_config(folder / "config.json");
  const Importer importer(folder, config);
  importer.check_tensors();
  HfModel model{config.model, importer.read(), folder};
  importer.check_head(model.params.front().tensor);
  return model;
}

void tile_positions(HfModel& model, std::int64_t context) {
  const std::int64_t before = model.config.context;
  require(context > before, "{}: has positions for {} tokens; wanted a longer context, got {}",
          model.folder.string(), before, context);
  const auto table = std::find_if(model.params.begin(), model.params.end(),
                                  [](const NamedTensor& p) { return p.name == "wpe.weight"; });
  check(table != model.params.end(), "{}: no position table", model.folder.string());
  Tensor longer({context, model.config.width});
  for (std::int64_t row = 0; row < context; row += before) {
    const std::int64_t rows = std::min(before, context - row);
    const ConstView from = table->tensor.view().slice(0, 0, rows);
    std::memcpy(longer.view().slice(0, row, row + rows).raw(), from.raw(), from.size_bytes());
  }
  table->tensor = std::move(longer);
  model.config.context = context;
}

}  // namespace mixspan
