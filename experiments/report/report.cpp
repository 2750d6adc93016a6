#include "experiments/report/report.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <string_view>

#include "core/durable_file.h"
#include "core/error.h"
#include "experiments/report/csv_tables.h"
#include "experiments/report/figures.h"
#include "experiments/report/markup.h"
#include "experiments/report/page.h"
#include "experiments/report/scale_section.h"
#include "experiments/report/sections.h"

namespace mixspan {

namespace {

namespace fs = std::filesystem;

/// Whether a report writes a file of this name; the others in its folder are not its own.
bool is_ours(const std::string& name) {
  constexpr std::string_view kTables[] = {"variants.csv", "runs.csv", "layers.csv", "positions.csv",
                                          "scaling.csv"};
  if (std::find(std::begin(kTables), std::end(kTables), name) != std::end(kTables)) return true;
  if (!name.ends_with(".svg")) return false;
  // Of layers there can be several, with the settings in their names.
  return name.starts_with(slug(kLayersFigure)) || name == slug(kScaleFigure) + ".svg" ||
         std::any_of(kFigureTitles.begin(), kFigureTitles.end(),
                     [&](std::string_view title) { return name == slug(title) + ".svg"; });
}

/// The tables and figures beside the page. Those of an earlier report that are not written again
/// are removed: they would say what is no longer so.
void write_folder(const fs::path& folder, const std::vector<CsvTable>& tables,
                  const std::vector<Figure>& figures) {
  fs::create_directories(folder);
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (is_ours(entry.path().filename().string())) fs::remove(entry.path());
  }
  for (const CsvTable& table : tables) replace_file(folder / table.name, table.text);
  std::set<std::string> names;  // titles of long settings may be alike where they are cut
  for (const Figure& figure : figures) {
    std::string name = slug(figure.title).substr(0, 120);
    while (!names.insert(name).second) name += "-next";
    replace_file(folder / (name + ".svg"), to_svg(figure, kWide, true) + "\n");
  }
}

std::string title_of(const fs::path& folder) {
  return fs::absolute(folder / "").lexically_normal().parent_path().filename().string();
}

/// The folder of tables and figures beside `out`. Refuses one that is not a folder, and one that
/// the runs lie in.
fs::path tables_folder(const ReportRequest& request) {
  const fs::path tables = fs::path(request.out).replace_extension();
  require(!fs::exists(tables) || fs::is_directory(tables),
          "{}: is not a folder; {} wants its tables and figures there: give --out another name",
          tables.string(), request.out.string());
  if (!fs::exists(tables)) return tables;
  const fs::path way = fs::relative(request.folder, tables);
  require(
      !way.empty() && *way.begin() == "..",
      "{}: holds the runs of {}; {} wants a folder of its own for tables and figures: give --out "
      "another name",
      tables.string(), request.folder.string(), request.out.string());
  return tables;
}

}  // namespace

void write_report(const ReportRequest& request) {
  const fs::path& out = request.out;
  require(out.has_extension() && !fs::is_directory(out),
          "{}: cannot be the report; wanted the name of an HTML file, such as report.html",
          out.string());
  const fs::path parent = fs::absolute(out).parent_path();
  require(fs::is_directory(parent), "{}: no such folder; wanted one that is there",
          parent.string());
  const fs::path tables = tables_folder(request);
  const Findings study = make_findings(read_runs(request.folder));
  const std::vector<EffectFamily> effects = layer_effects(study);
  const std::vector<ScalingLine> lines = scaling_lines(study);
  std::vector<Figure> figures = make_figures(study, effects, lines);

  Page page{title_of(request.folder), lead_html(study), {variants_section(study)}};
  if (!figures.empty()) {
    std::string html;
    for (const Figure& figure : figures) html += figure_html(figure);
    page.sections.push_back({"Figures", html});
  }
  if (const fs::path file = request.folder / "scale.json"; fs::exists(file)) {
    const ScaleSummary scale = read_scale_summary(file);
    const std::vector<Figure> drawn = scale_figures(scale);
    // What such a folder is about; the losses of its short runs are not.
    page.sections.insert(page.sections.begin(), scale_section(scale, drawn));
    figures.insert(figures.end(), drawn.begin(), drawn.end());
  }
  page.sections.push_back(settings_section(study));
  page.sections.push_back(runs_section(study));
  write_folder(tables, make_csv_tables(study, effects, lines), figures);
  replace_file(out, to_html(page));
}

}  // namespace mixspan
