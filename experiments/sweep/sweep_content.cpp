#include "experiments/sweep/sweep_content.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "core/error.h"
#include "core/text.h"

namespace mixspan {

namespace {

constexpr const char* kSeed = "train.seed";

struct Known {
  std::string_view name;
  bool repeated = false;  // [[name]]
  bool of_scale = false;  // of scaling studies alone
};
constexpr std::array<Known, 12> kSections{{{"sweep"},
                                           {"scale", false, true},
                                           {"extrapolate", false, true},
                                           {"base"},
                                           {"set"},
                                           {"grid"},
                                           {"zip", true},
                                           {"exclude", true},
                                           {"only", true},
                                           {"study"},
                                           {"local"},
                                           {"slurm"}}};

std::string section_names(SweepKind kind) {
  std::vector<std::string> names;
  for (const Known& k : kSections) {
    if (k.of_scale && kind != SweepKind::scale) continue;
    names.push_back(k.repeated ? fmt::format("[[{}]]", k.name) : fmt::format("[{}]", k.name));
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

void check_section(const TomlNode& node, const std::string& file, SweepKind kind) {
  const std::string at = place_of(file, node.line, node.key);
  const auto found = std::find_if(kSections.begin(), kSections.end(),
                                  [&](const Known& k) { return k.name == node.key; });
  if (found == kSections.end()) {
    for (const Known& k : kSections) {
      const bool near = node.key.size() < 100 && edit_distance(node.key, k.name) <= 2;
      require(!near, "{}: unknown section; did you mean {}?", at, k.name);
    }
    refuse("{}: unknown section; the sections are {}", at, section_names(kind));
  }
  require(!found->of_scale || kind == SweepKind::scale,
          "{}: a section of scaling studies; wanted `mixspan scale`, or none", at);
  const bool table = node.kind == TomlNode::Kind::table;
  if (found->repeated) {
    require(node.of_tables, "{}: wanted [[{}]], a section that may come more than once", at,
            node.key);
  } else {
    require(table, "{}: wanted one section, [{}], got {}", at, node.key,
            node.of_tables ? "a list of sections" : node.shown);
  }
}

/// The file's name as one of a folder and of jobs, which know no blanks.
std::string name_from(const std::filesystem::path& path) {
  std::string name = path.stem().string().substr(0, 100);
  for (char& c : name) {
    const bool kept = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.';
    if (!kept) c = '-';
  }
  const bool bare = std::isalnum(static_cast<unsigned char>(name.empty() ? ' ' : name[0])) != 0;
  return bare ? name : "sweep" + name;
}

/// Reads one sweep file.
class Reader {
 public:
  Reader(SweepContent& content, RunKeys& base)
      : c_(content), base_(base), values_(content.file), root_(parse_toml_tree(c_.text, c_.file)) {}

  void read(const std::vector<std::string>& sets);

 private:
  void read_options();
  void read_base();
  void read_set();
  void read_beyond();
  void set_up_measurement();
  void read_axes();
  void add_seeds();
  void read_study_and_filters();
  void refuse_filters_of_search() const;
  void refuse_two_sources() const;
  void refuse_sets_of_varied(const std::vector<std::string>& sets) const;
  /// The line that varies `key`, or 0.
  int varied_in(std::string_view key) const;

  SweepContent& c_;
  RunKeys& base_;
  RunKeys values_;  // takes values only to check them
  TomlNode root_;
};

void Reader::read_options() {
  ConfigSchema schema = schema_of(c_.options, c_.scale, c_.local, c_.slurm);
  for (const char* name : {"sweep", "scale", "local", "slurm"}) {
    const TomlNode* section = root_.find(name);
    if (section == nullptr) continue;
    for (const TomlEntry& entry : toml_entries(*section, std::string(name) + ".")) {
      schema.read_entry(entry, c_.file);
    }
  }
  try {
    validate(c_.slurm);
  } catch (const InputError& error) {
    refuse("{}: {}", schema.place_of(error.what(), c_.file), error.what());
  }
}

void Reader::read_base() {
  const TomlNode* sections = root_.find("base");
  const bool named = !c_.options.base.empty();
  require(
      named != (sections != nullptr),
      "{}: wanted one of [sweep] base = \"FILE.toml\" and sections such as [base.model], got {}",
      c_.file, named ? "both" : "neither");
  if (named) {
    base_.schema().read_file(c_.path.parent_path() / c_.options.base);
    return;
  }
  for (const TomlEntry& entry : toml_entries(*sections)) {
    base_.schema().read_entry(entry, c_.file);
  }
}

void Reader::read_set() {
  const TomlNode* set = root_.find("set");
  if (set == nullptr) return;
  for (const TomlNode& leaf : leaves_of(*set, c_.file)) {
    base_.read(leaf.key, leaf);
    const int line = varied_in(leaf.key);
    require(line == 0, "{}: in [set], but line {} varies it; wanted one of the two",
            place_of(c_.file, leaf.line, leaf.key), line);
  }
}

void Reader::add_seeds() {
  if (c_.options.seeds == 0) return;
  Axis axis{{kSeed}, {}, root_.find("sweep")->find("seeds")->line};
  for (std::int64_t seed = 1; seed <= c_.options.seeds; ++seed) {
    axis.points.push_back({{kSeed, seed, axis.line}});
  }
  // The slowest one: a sweep that is cut short has the whole picture for its first seeds.
  c_.axes.insert(c_.axes.begin(), std::move(axis));
}

void Reader::read_axes() {
  for (const TomlNode& section : root_.items) {
    if (section.key == "grid") {
      for (Axis& axis : read_grid(section, values_)) c_.axes.push_back(std::move(axis));
    } else if (section.key == "zip") {
      for (const TomlNode& zip : section.items) c_.axes.push_back(read_zip(zip, values_));
    }
  }
  std::stable_sort(c_.axes.begin(), c_.axes.end(),
                   [](const Axis& a, const Axis& b) { return a.line < b.line; });
  add_seeds();
}

void Reader::read_study_and_filters() {
  for (const TomlNode& section : root_.items) {
    if (section.key == "study") c_.study = read_study(section, values_);
    if (section.key == "only" || section.key == "exclude") {
      for (const TomlNode& table : section.items) {
        (section.key == "only" ? c_.only : c_.exclude).push_back(read_filter(table, values_));
      }
    }
  }
}

int Reader::varied_in(std::string_view key) const {
  if (c_.study && c_.study->key == key) return c_.study->line;
  for (const Axis& axis : c_.axes) {
    if (std::find(axis.keys.begin(), axis.keys.end(), key) != axis.keys.end()) return axis.line;
  }
  return 0;
}

void Reader::refuse_filters_of_search() const {
  if (!c_.study || c_.study->kind != StudyKind::search) return;
  for (const auto* filters : {&c_.only, &c_.exclude}) {
    for (const Filter& filter : *filters) {
      for (const Filter::Key& key : filter.keys) {
        require(key.name != c_.study->key,
                "{}: a filter on what the search decides; wanted other keys",
                place_of(c_.file, key.values.front().line, key.name));
      }
    }
  }
}

void Reader::refuse_two_sources() const {
  std::vector<std::pair<std::string, int>> seen;
  if (c_.study) seen.emplace_back(c_.study->key, c_.study->line);
  for (const Axis& axis : c_.axes) {
    for (const std::string& key : axis.keys) {
      const auto other =
          std::find_if(seen.begin(), seen.end(), [&](const auto& s) { return s.first == key; });
      if (other != seen.end()) {
        refuse("{}: line {} varies this key too; wanted it once", place_of(c_.file, axis.line, key),
               other->second);
      }
      seen.emplace_back(key, axis.line);
    }
  }
  require(!seen.empty(), "{}: nothing is varied; wanted [grid], [[zip]], [study] or [sweep] seeds",
          c_.file);
}

void Reader::refuse_sets_of_varied(const std::vector<std::string>& sets) const {
  for (const std::string& assignment : sets) {
    const std::string key = assignment.substr(0, assignment.find('='));
    const int line = varied_in(key);
    require(line == 0, "--set {}: {}:{} varies {}; change it there", one_line(assignment, 160),
            c_.file, line, key);
  }
}

void Reader::read_beyond() {
  const TomlNode* beyond = root_.find("extrapolate");
  if (beyond == nullptr) return;
  c_.beyond = read_grid(*beyond, values_);
  for (const Axis& axis : c_.beyond) {
    require(varied_in(axis.keys.front()) != 0, "{}: is not varied; wanted a key of [grid]",
            place_of(c_.file, axis.line, axis.keys.front()));
  }
}

// A run of a scaling study is there to be timed.
void Reader::set_up_measurement() {
  if (c_.kind != SweepKind::scale) return;
  require(!c_.study || c_.study->kind != StudyKind::search,
          "{}:{}: study.kind: a search has no place in a scaling study; wanted another, or [grid]",
          c_.file, c_.study ? c_.study->line : 0);
  const std::vector<std::pair<std::string, std::string>> settings{
      {"train.steps", std::to_string(c_.scale.warmup_steps + c_.scale.steps)},
      {"log.every_steps", "1"},
      {"log.trace", "trace.json"},
      {"log.trace_warmup_steps", std::to_string(c_.scale.warmup_steps)},
      {"log.tensorboard", "false"},
      {"data.eval", ""},
      {"data.eval_fraction", "0"},
      {"eval.every_steps", "0"},
      {"eval.rows", "1"},  // synthetic tasks always have some
      {"checkpoint.every_steps", "0"},
      {"checkpoint.keep", "1"}};
  for (const auto& [key, value] : settings) {
    const int line = varied_in(key);
    require(line == 0, "{}: a scaling study sets this key itself; wanted it nowhere here",
            place_of(c_.file, line, key));
    base_.schema().set(key + "=" + value);
  }
}

void Reader::read(const std::vector<std::string>& sets) {
  for (const TomlNode& node : root_.items) check_section(node, c_.file, c_.kind);
  read_options();
  read_base();
  read_axes();
  read_study_and_filters();
  refuse_filters_of_search();
  refuse_two_sources();
  read_set();
  read_beyond();
  set_up_measurement();
  for (const std::string& assignment : sets) base_.schema().set(assignment);
  refuse_sets_of_varied(sets);
  c_.base = base_.config();
}

}  // namespace

SweepContent read_sweep(const std::filesystem::path& path, const std::vector<std::string>& sets,
                        SweepKind kind, RunKeys& base) {
  SweepContent content;
  content.kind = kind;
  content.path = path;
  content.file = base.file();
  content.text = read_config_text(path);
  Reader(content, base).read(sets);
  if (content.options.name.empty()) content.options.name = name_from(path);
  return content;
}

}  // namespace mixspan
