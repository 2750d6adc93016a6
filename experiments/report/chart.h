// Figures as SVG: lines with bands, points with error bars, bars, heat maps. Colours are classes,
// so that the page (or the file's own style) chooses them for light and dark.
#pragma once

#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace mixspan {

/// How an axis writes its numbers.
enum class Numbers { plain, counts, bytes, percent };

struct ChartAxis {
  std::string label = {};  ///< with the unit
  bool logarithmic = false;
  Numbers numbers = Numbers::plain;
  std::vector<double> ticks = {};  ///< empty: chosen
  /// NaN: from the points. What lies beyond is cut off.
  double low = std::numeric_limits<double>::quiet_NaN();
  double high = std::numeric_limits<double>::quiet_NaN();
};

struct ChartPoint {
  double x = 0, y = 0;  ///< a point that is not finite interrupts its line
  double low = std::numeric_limits<double>::quiet_NaN();  ///< of y's interval; NaN: none
  double high = std::numeric_limits<double>::quiet_NaN();
  std::string label = {};  ///< written beside the point where there is room
  std::string hint = {};   ///< shown when the pointer rests on it
};

struct ChartSeries {
  enum class Kind { line, points, bars };
  std::string name = {};   ///< "": not in the legend
  std::string color = {};  ///< see category_color() and ramp_color(); "ink" or "dim"
  Kind kind = Kind::line;
  bool band = false;    ///< intervals as a band behind the line, not as error bars
  bool dashed = false;  ///< lines only
  bool marks = false;   ///< a line's points are marked too
  std::vector<ChartPoint> points = {};
};

struct Chart {
  std::string title;  ///< for those who cannot see it; pages write their own headings
  ChartAxis x, y;
  std::vector<ChartSeries> series = {};
  bool zero_line = false;  ///< y = 0 is drawn
};

/// Cells of `rows` x `columns`; a cell's colour is a class, "" leaves it empty.
struct HeatMap {
  std::string title;
  std::string x_label;
  std::vector<std::string> rows;        ///< names, first on top
  std::vector<std::string> row_values;  ///< written behind the row; may be empty
  std::vector<std::string> columns;     ///< names, thinned where they are many
  std::vector<std::string> cells;       ///< row by row
  std::vector<std::string> hints;       ///< one for each row
  std::string low_label, high_label;    ///< what the ramp's ends mean; "": no ramp is drawn
  std::string value_label;              ///< heading of row_values
};

/// Units are CSS pixels at the size that the figure is made for.
struct FigureSize {
  double width = 760, height = 400;
  bool narrow = false;  ///< a telephone: names below the figure instead of beside it
};
inline constexpr FigureSize kWide{960, 420, false};
inline constexpr FigureSize kNarrow{350, 330, true};

/// One <svg> element. `stand_alone`: a file of its own, with its style and name space.
std::string to_svg(const Chart&, const FigureSize&, bool stand_alone = false);
std::string to_svg(const HeatMap&, const FigureSize&, bool stand_alone = false);

/// CSS of all colours and of the marks of figures, light and dark.
std::string_view figure_style();

inline constexpr std::size_t kCategories = 8;
/// One of kCategories colours that colour-blind readers tell apart (Okabe and Ito, 2008).
std::string category_color(std::size_t index);
/// From 0 (faint) to 1 (strong), in nine steps; NaN is "dim".
std::string ramp_color(double share);

}  // namespace mixspan
