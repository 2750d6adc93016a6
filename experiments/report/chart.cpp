#include "experiments/report/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "experiments/report/chart_axis.h"
#include "experiments/report/markup.h"
#include "experiments/report/svg.h"

namespace mixspan {

namespace {

constexpr double kLine = 15;  // from one line of text to the next

struct Box {
  double left, top, right, bottom;
  bool meets(const Box& o) const {
    return left < o.right && o.left < right && top < o.bottom && o.top < bottom;
  }
};

/// Draws one chart: axes first, then the series in their order, then names.
class ChartPainter {
 public:
  ChartPainter(const Chart& chart, const FigureSize& size)
      : chart_(chart),
        size_(size),
        x_(chart.x, all_x(chart), size.narrow ? 4 : 7),
        y_(chart.y, all_y(chart), 6) {
    place();
  }

  std::string body() {
    axes();
    out_ += fmt::format(
        R"(<svg x="{}" y="{}" width="{}" height="{}" viewBox="{} {} {} {}" overflow="hidden">)",
        px(left_), px(top_ - 5), px(right_ - left_), px(bottom_ - top_ + 10), px(left_),
        px(top_ - 5), px(right_ - left_), px(bottom_ - top_ + 10));
    for (const ChartSeries& s : chart_.series) marks(s);
    out_ += "</svg>";
    for (const ChartSeries& s : chart_.series) point_labels(s);
    if (beside_) names_beside();
    if (legend_rows_ > 0) legend();
    return out_;
  }
  double height() const { return height_; }

 private:
  static std::vector<double> all_x(const Chart& chart) {
    std::vector<double> values;
    for (const ChartSeries& s : chart.series) {
      for (const ChartPoint& p : s.points) values.push_back(p.x);
    }
    return values;
  }
  static std::vector<double> all_y(const Chart& chart) {
    std::vector<double> values;
    if (chart.zero_line) values.push_back(0);
    for (const ChartSeries& s : chart.series) {
      if (s.kind == ChartSeries::Kind::bars) values.push_back(0);
      for (const ChartPoint& p : s.points) values.insert(values.end(), {p.y, p.low, p.high});
    }
    return values;
  }

  std::vector<const ChartSeries*> named() const {
    std::vector<const ChartSeries*> all;
    for (const ChartSeries& s : chart_.series) {
      if (!s.name.empty() && !s.points.empty()) all.push_back(&s);
    }
    return all;
  }

  void place() {
    const auto names = named();
    const bool lines = std::all_of(names.begin(), names.end(), [](const ChartSeries* s) {
      return s->kind == ChartSeries::Kind::line;
    });
    beside_ = !size_.narrow && lines && !names.empty() && names.size() <= 20;
    double widest_tick = 0, widest_name = 0;
    for (const double t : y_.ticks()) {
      widest_tick = std::max(widest_tick, text_width(y_.text(t), 12));
    }
    for (const ChartSeries* s : names) {
      widest_name = std::max(widest_name, text_width(shortened(s->name, 34), 12));
    }
    left_ = widest_tick + 14;
    right_ = size_.width - (beside_ ? widest_name + 22 : 16);
    top_ = 30;
    double at = 0;
    if (!beside_) {
      for (const ChartSeries* s : names) {
        const double width = legend_width(*s);
        if (legend_rows_ == 0 || at + width > size_.width) {
          ++legend_rows_;
          at = 0;
        }
        at += width;
      }
    }
    bottom_ = size_.height - 44;
    height_ = size_.height + (legend_rows_ > 0 ? legend_rows_ * (kLine + 3) + 10 : 0);
    x_.place(left_, right_);
    y_.place(bottom_, top_);
  }

  double legend_width(const ChartSeries& s) const {
    return 38 + text_width(shortened(s.name, size_.narrow ? 38 : 60), 12);
  }

  void axes() {
    for (const double t : y_.ticks()) {
      const double y = y_.at(t);
      out_ += fmt::format(R"(<path class="g" d="M{} {}H{}"/>)", px(left_), px(y), px(right_));
      out_ += svg_text(left_ - 7, y + 4, "t end", y_.text(t));
    }
    double free_from = -1e9;
    for (const double t : x_.ticks()) {
      const double x = x_.at(t), half = text_width(x_.text(t), 12) / 2;
      out_ += fmt::format(R"(<path class="a" d="M{} {}v5"/>)", px(x), px(bottom_));
      if (x - half < free_from) continue;  // no room
      free_from = x + half + 6;
      out_ += svg_text(std::min(x, size_.width - half), bottom_ + 19, "t mid", x_.text(t));
    }
    out_ += fmt::format(R"(<path class="a" d="M{} {}H{}"/>)", px(left_), px(bottom_), px(right_));
    if (chart_.zero_line && y_.low() < 0 && y_.high() > 0) {
      out_ +=
          fmt::format(R"(<path class="a" d="M{} {}H{}"/>)", px(left_), px(y_.at(0)), px(right_));
    }
    out_ += svg_text(0, 13, "h", chart_.y.label);
    out_ += svg_text(right_, bottom_ + 37, "h end", chart_.x.label);
  }

  void marks(const ChartSeries& s) {
    out_ += fmt::format(R"(<g class="{}">)", s.color);
    if (s.band) band(s);
    if (s.kind == ChartSeries::Kind::line) line(s);
    for (const ChartPoint& p : s.points) {
      const double x = x_.at(p.x), y = y_.at(p.y);
      if (!std::isfinite(x) || !std::isfinite(y)) continue;
      if (s.kind == ChartSeries::Kind::bars) bar(s, p);
      if (!s.band && std::isfinite(p.low) && std::isfinite(p.high)) error_bar(p);
      if (s.kind == ChartSeries::Kind::points || s.marks) dot(x, y, p.hint);
    }
    out_ += "</g>";
  }

  void band(const ChartSeries& s) {
    std::string upper, lower;
    for (const ChartPoint& p : s.points) {
      if (!std::isfinite(p.low) || !std::isfinite(p.high)) continue;
      upper += fmt::format("{}{} {}", upper.empty() ? "M" : "L", px(x_.at(p.x)), px(y_.at(p.high)));
      lower = fmt::format("L{} {}", px(x_.at(p.x)), px(y_.at(p.low))) + lower;
    }
    if (!upper.empty()) out_ += fmt::format(R"(<path class="b" d="{}{}Z"/>)", upper, lower);
  }

  void line(const ChartSeries& s) {
    std::string path;
    bool pen_down = false;
    for (const ChartPoint& p : s.points) {
      const double x = x_.at(p.x), y = y_.at(p.y);
      if (!std::isfinite(x) || !std::isfinite(y)) {
        pen_down = false;
        continue;
      }
      path += fmt::format("{}{} {}", pen_down ? "L" : "M", px(x), px(y));
      pen_down = true;
    }
    if (path.empty()) return;
    out_ += fmt::format(R"(<path class="l{}" d="{}">)", s.dashed ? " s" : "", path);
    if (!s.name.empty()) out_ += fmt::format("<title>{}</title>", escaped(s.name));
    out_ += "</path>";
  }

  void bar(const ChartSeries& s, const ChartPoint& p) {
    const double from = y_.at(0), to = y_.at(p.y);
    const double width =
        std::clamp(0.6 * (right_ - left_) / static_cast<double>(s.points.size()), 2.0, 40.0);
    out_ += fmt::format(R"(<rect class="p" x="{}" y="{}" width="{}" height="{}"/>)",
                        px(x_.at(p.x) - width / 2), px(std::min(from, to)), px(width),
                        px(std::abs(from - to)));
  }

  void error_bar(const ChartPoint& p) {
    const double x = x_.at(p.x);
    const double low = std::min(y_.at(p.low), bottom_ + 60), high = std::max(y_.at(p.high), -60.0);
    out_ += fmt::format(R"(<path class="e" d="M{0} {2}H{1}M{3} {2}V{4}M{0} {4}H{1}"/>)", px(x - 4),
                        px(x + 4), px(low), px(x), px(high));
    taken_.push_back({x - 4, high, x + 4, low});
  }

  void dot(double x, double y, const std::string& hint) {
    out_ += fmt::format(R"(<circle class="p" cx="{}" cy="{}" r="4")", px(x), px(y));
    out_ += hint.empty() ? "/>" : fmt::format("><title>{}</title></circle>", escaped(hint));
    taken_.push_back({x - 5, y - 5, x + 5, y + 5});
  }

  /// Right, left, above or below its point; not at all where others are in the way.
  void point_labels(const ChartSeries& s) {
    for (const ChartPoint& p : s.points) {
      const double x = x_.at(p.x), y = y_.at(p.y);
      if (p.label.empty() || !std::isfinite(x) || !std::isfinite(y)) continue;
      const std::string text = shortened(p.label, size_.narrow ? 22 : 34);
      const double width = text_width(text, 12);
      const double lefts[] = {x + 9, x - 9 - width, x - width / 2, x - width / 2};
      const double middles[] = {y, y, y - 15, y + 15};
      for (int k = 0; k < 4; ++k) {
        const Box box{lefts[k], middles[k] - 7, lefts[k] + width, middles[k] + 7};
        const bool inside = box.left > left_ && box.right < size_.width && box.top > top_ - 10 &&
                            box.bottom < bottom_;
        if (!inside || std::any_of(taken_.begin(), taken_.end(),
                                   [&](const Box& other) { return box.meets(other); })) {
          continue;
        }
        taken_.push_back(box);
        out_ += svg_text(lefts[k], middles[k] + 4, s.color + " n", text);
        break;
      }
    }
  }

  /// Names at the ends of their lines, moved apart where lines end close together.
  void names_beside() {
    struct Name {
      double y;
      const ChartSeries* series;
    };
    std::vector<Name> names;
    for (const ChartSeries* s : named()) {
      const auto last =
          std::find_if(s->points.rbegin(), s->points.rend(), [&](const ChartPoint& p) {
            return std::isfinite(x_.at(p.x)) && std::isfinite(y_.at(p.y));
          });
      if (last == s->points.rend()) continue;
      names.push_back({std::clamp(y_.at(last->y), top_, bottom_), s});
    }
    std::stable_sort(names.begin(), names.end(),
                     [](const Name& a, const Name& b) { return a.y < b.y; });
    for (std::size_t i = 1; i < names.size(); ++i) {
      names[i].y = std::max(names[i].y, names[i - 1].y + kLine);
    }
    double room = bottom_ + 4;
    for (auto name = names.rbegin(); name != names.rend(); ++name) {
      name->y = std::min(name->y, room);
      room = name->y - kLine;
    }
    for (const Name& name : names) {
      out_ += svg_text(right_ + 10, name.y + 4, name.series->color + " n",
                       shortened(name.series->name, 34));
    }
  }

  void legend() {
    double x = 0, y = size_.height + 16;
    for (const ChartSeries* s : named()) {
      const double width = legend_width(*s);
      if (x > 0 && x + width > size_.width) {
        x = 0;
        y += kLine + 3;
      }
      out_ += fmt::format(R"(<g class="{}">)", s->color);
      if (s->kind == ChartSeries::Kind::line) {
        out_ += fmt::format(R"(<path class="l{}" d="M{} {}h18"/>)", s->dashed ? " s" : "", px(x),
                            px(y - 4));
      } else {
        out_ += fmt::format(R"(<circle class="p" cx="{}" cy="{}" r="4"/>)", px(x + 9), px(y - 4));
      }
      out_ += "</g>" + svg_text(x + 24, y, "", shortened(s->name, size_.narrow ? 38 : 60));
      x += width;
    }
  }

  const Chart& chart_;
  const FigureSize size_;
  AxisScale x_, y_;
  double left_ = 0, right_ = 0, top_ = 0, bottom_ = 0, height_ = 0;
  bool beside_ = false;
  int legend_rows_ = 0;
  std::vector<Box> taken_;  // by points and labels
  std::string out_;
};

}  // namespace

std::string to_svg(const Chart& chart, const FigureSize& size, bool stand_alone) {
  ChartPainter painter(chart, size);
  const std::string body = painter.body();
  return svg_element(size.width, painter.height(), chart.title, body, stand_alone);
}

std::string category_color(std::size_t index) { return fmt::format("c{}", index % kCategories); }

std::string ramp_color(double share) {
  if (std::isnan(share)) return "dim";
  return fmt::format("q{}", std::lround(std::clamp(share, 0.0, 1.0) * 8));
}

}  // namespace mixspan
