#include <unistd.h>

#include <cmath>
#include <cstring>
#include <deque>
#include <nlohmann/json.hpp>

#include "core/durable_file.h"
#include "core/error.h"
#include "experiments/hf/families.h"
#include "experiments/hf/safetensors.h"

namespace mixspan {

namespace {

namespace fs = std::filesystem;

// A folder that appears under its name when publish() is called, or never.
class NewFolder {
 public:
  explicit NewFolder(const fs::path& folder) {
    try {
      target_ = fs::weakly_canonical(fs::absolute(folder));
      if (!target_.has_filename()) target_ = target_.parent_path();  // "out/"
      require(!fs::exists(target_) || (fs::is_directory(target_) && fs::is_empty(target_)),
              "{}: exists and is not an empty folder; give another name or remove it",
              folder.string());
      fs::create_directories(target_.parent_path());
      part_ = target_.parent_path() /
              fmt::format(".{}.{}.tmp", target_.filename().string(), ::getpid());
      fs::remove_all(part_);  // of a process that died and had our number
      fs::create_directory(part_);
    } catch (const fs::filesystem_error& e) {
      refuse("{}: cannot be made: {}", folder.string(), e.code().message());
    }
  }
  ~NewFolder() {
    std::error_code ignored;
    if (!part_.empty()) fs::remove_all(part_, ignored);
  }
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;

  const fs::path& path() const { return part_; }

  void publish() {
    fsync_path(part_);
    std::error_code error;
    fs::rename(part_, target_, error);  // takes the place of an empty folder, never of a full one
    require(!error, "{}: cannot be made: {}", target_.string(), error.message());
    part_.clear();
    fsync_path(target_.parent_path());
  }

 private:
  fs::path target_, part_;
};

// Their tensors as views into ours, or into copies that live here where the numbers must move.
class Pieces {
 public:
  void add(const std::string& name, ConstView rows) { views_.push_back({name, rows}); }

  void add_transposed(const std::string& name, ConstView rows) {
    const std::int64_t R = rows.dim(0), C = rows.dim(1);
    Tensor& t = made_.emplace_back(Shape{C, R});
    for (std::int64_t r = 0; r < R; ++r) {
      for (std::int64_t c = 0; c < C; ++c)
        t.data<float>()[c * R + r] = rows.data<float>()[r * C + c];
    }
    add(name, t);
  }

  void add_zeros(const std::string& name, Shape shape) { add(name, made_.emplace_back(shape)); }

  // Returns whether every product is exact.
  bool add_scaled(const std::string& name, ConstView rows, double scale) {
    Tensor& t = made_.emplace_back(rows.shape());
    bool exact = true;
    for (std::int64_t i = 0; i < rows.size(); ++i) {
      const double product = rows.data<float>()[i] * scale;
      t.data<float>()[i] = static_cast<float>(product);
      exact = exact && static_cast<double>(t.data<float>()[i]) == product;
    }
    add(name, t);
    return exact;
  }

  const std::vector<NamedConstView>& views() const { return views_; }

 private:
  std::deque<Tensor> made_;
  std::vector<NamedConstView> views_;
};

void check_params(const ModelConfig& config, const std::vector<NamedConstView>& params) {
  const std::vector<HfParameter> wanted = hf_parameters(config);
  check(params.size() == wanted.size(), "export: {} parameters; wanted {}", params.size(),
        wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    check(params[i].name == wanted[i].name, "export: parameter {} is {}; wanted {}", i,
          params[i].name, wanted[i].name);
    check_shape(params[i].name, params[i].view, wanted[i].shape);
    check_dtype(params[i].name, params[i].view, DType::f32);
    check_contiguous(params[i].name, params[i].view);
  }
}

Pieces to_theirs(const ModelConfig& config, const HfLayout& layout,
                 const std::vector<NamedConstView>& params, HfExport& done) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(config.head_size()));
  Pieces out;
  for (const auto& [name, view] : params) {
    for (const HfPiece& piece : pieces_of(layout.family, {name, view.shape()})) {
      const std::string theirs = "transformer." + piece.name;
      const ConstView rows = view.slice(0, piece.first_row, piece.first_row + piece.rows);
      if (piece.transposed) {
        out.add_transposed(theirs, rows);
      } else if (layout.fold_scale && piece.name.ends_with(".q_proj.weight")) {
        done.exact = out.add_scaled(theirs, rows, scale) && done.exact;
      } else {
        out.add(theirs, rows);
      }
    }
    const bool qkv = name.ends_with(".attn.qkv.weight");
    if (qkv && layout.family == HfFamily::gpt2 && !config.qkv_bias) {
      const std::string bias = name.substr(0, name.size() - 6) + "bias";
      const HfParameter zeros{bias, {3 * config.width}};
      out.add_zeros("transformer." + pieces_of(layout.family, zeros).front().name, zeros.shape);
      done.bias_added = true;
    }
  }
  return out;
}

}  // namespace

HfExport write_hf_model(const fs::path& folder, const ModelConfig& config,
                        const std::vector<NamedConstView>& params, const HfExtras& extras) {
  validate(config);
  const HfLayout layout = choose_layout(config);
  check_params(config, params);
  HfExport done{.family = class_of(layout.family), .scale_folded = layout.fold_scale};
  NewFolder made(folder);
  write_safetensors(made.path() / "model.safetensors",
                    to_theirs(config, layout, params, done).views());
  replace_file(made.path() / "config.json",
               hf_config_json(config, layout, extras.end_of_text).dump(2) + "\n");
  for (const auto& [name, content] : extras.files) {
    check(name == fs::path(name).filename().string() && !fs::exists(made.path() / name),
          "export: '{}' is no name for a further file", name);
    replace_file(made.path() / name, content);
  }
  made.publish();
  return done;
}

}  // namespace mixspan
