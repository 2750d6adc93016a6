// Axes, figures and the text in them.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "core/error.h"
#include "experiments/report/chart_axis.h"
#include "experiments/report/markup.h"
#include "experiments/report/run_record.h"

namespace mixspan {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TEST(AxisScale, TicksAreRoundNumbersInsideTheAxis) {
  AxisScale scale({}, {2.87, 3.41}, 5);
  EXPECT_GE(scale.ticks().size(), 3u);
  for (const double t : scale.ticks()) {
    EXPECT_TRUE(t >= scale.low() && t <= scale.high()) << t;
    EXPECT_NEAR(std::remainder(t, 0.1), 0, 1e-9) << t;
  }
  EXPECT_EQ(scale.text(3.0), "3.0");
  scale.place(0, 100);
  EXPECT_EQ(scale.at(scale.low()), 0);
  EXPECT_EQ(scale.at(scale.high()), 100);
}

TEST(AxisScale, LogarithmicAxesHaveNoPlaceForZero) {
  const ChartAxis axis{.logarithmic = true};
  AxisScale scale(axis, {0, -1, 512, 8192}, 5);
  scale.place(0, 1);
  EXPECT_GT(scale.low(), 0);
  EXPECT_TRUE(std::isnan(scale.at(0)));
  EXPECT_NEAR(scale.at(1024) - scale.at(512), scale.at(8192) - scale.at(4096), 1e-12);
}

TEST(AxisScale, LogarithmicAxesAlwaysHaveTwoNumbers) {
  for (const auto& [low, high] : std::vector<std::pair<double, double>>{
           {2.1, 2.4}, {21, 49}, {1.1e9, 1.9e9}, {1.0e9, 1.001e9}, {3e6, 9e6}, {1, 1e6}}) {
    for (const Numbers numbers : {Numbers::plain, Numbers::counts, Numbers::bytes}) {
      const ChartAxis axis{.logarithmic = true, .numbers = numbers, .ticks = {1 << 30}};
      const AxisScale scale(axis, {low, high}, 5);
      ASSERT_GE(scale.ticks().size(), 2u) << low;
      std::set<std::string> texts;
      for (const double t : scale.ticks()) texts.insert(scale.text(t));
      // Below this a byte, and above it a plain number, is written in whole units.
      if (numbers == (low < 1e4 ? Numbers::plain : Numbers::bytes)) {
        EXPECT_EQ(texts.size(), scale.ticks().size()) << low;
      }
    }
  }
}

TEST(AxisScale, NothingToShowIsNoTrouble) {
  for (const bool logarithmic : {false, true}) {
    const ChartAxis axis{.logarithmic = logarithmic};
    for (const std::vector<double>& values : std::vector<std::vector<double>>{
             {}, {5}, {5, 5}, {std::nan("")}, {kInf, 2}, {1e-300, 1e300}}) {
      const AxisScale scale(axis, values, 5);
      EXPECT_LT(scale.low(), scale.high());
      EXPECT_LT(scale.ticks().size(), 1000u);
    }
  }
}

TEST(Chart, BreaksLinesAtWhatIsNotANumber) {
  Chart chart;
  chart.series.push_back(
      {.name = "a", .color = "c0", .points = {{0, 1}, {1, std::nan("")}, {2, 1}, {3, 2}}});
  const std::string svg = to_svg(chart, kWide);
  const std::string line = svg.substr(svg.find("class=\"l\""));
  EXPECT_EQ(count_of(line.substr(0, line.find('>')), "M"), 2u);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

TEST(Chart, PointsBarsBandsAndNames) {
  Chart chart;
  chart.title = "a < b";
  chart.zero_line = true;
  chart.x.label = "x & y";
  chart.series.push_back({.name = "dots",
                          .color = "c1",
                          .kind = ChartSeries::Kind::points,
                          .points = {{1, 2, 1, 3, "first", "hint"}, {1, 2, 1, 3, "second"}}});
  chart.series.push_back({.name = "bars",
                          .color = "c2",
                          .kind = ChartSeries::Kind::bars,
                          .points = {{1, -1}, {2, 3}}});
  chart.series.push_back(
      {.name = "band", .color = "c3", .band = true, .points = {{1, 1, 0, 2}, {2, 1, 0, 2}}});
  for (const FigureSize& size : {kWide, kNarrow}) {
    const std::string svg = to_svg(chart, size, true);
    EXPECT_EQ(count_of(svg, "<svg"), count_of(svg, "</svg>"));
    EXPECT_EQ(count_of(svg, "<g"), count_of(svg, "</g>"));
    EXPECT_EQ(count_of(svg, "<rect class=\"p\""), 2u);
    EXPECT_EQ(count_of(svg, "class=\"e\""), 2u);
    EXPECT_EQ(count_of(svg, "class=\"b\""), 1u);
    EXPECT_NE(svg.find("a &lt; b"), std::string::npos);
    EXPECT_NE(svg.find("x &amp; y"), std::string::npos);
    EXPECT_NE(svg.find(">first</text>"), std::string::npos);
    EXPECT_NE(svg.find(">bars</text>"), std::string::npos);
  }
}

TEST(HeatMap, FillsTheCellsThatHaveAColor) {
  HeatMap map;
  map.title = "layers";
  map.rows = {"none", "bottom:1"};
  map.columns = {"0", "1", "2"};
  map.cells = {"", "", "", "q8", "", ""};
  const std::string svg = to_svg(map, kWide);
  EXPECT_EQ(count_of(svg, "class=\"o\""), 5u);
  EXPECT_EQ(count_of(svg, "<g class=\"q8\">"), 1u);
  map.cells.pop_back();
  EXPECT_THROW(to_svg(map, kWide), Error);
}

TEST(Markup, EscapesWhatWouldBeMarkup) {
  EXPECT_EQ(escaped("<a href=\"x\">'&\x01"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp; ");
  EXPECT_EQ(escaped("\xff").find('\xff'), std::string::npos);
  EXPECT_EQ(slug("Loss by position, model.context = 64"), "loss-by-position-model-context-64");
  EXPECT_EQ(shortened("0,1,2,3,4,5,6,7,8,9", 9), "0,1,2,…,9");
}

TEST(Markup, ShortNumbers) {
  EXPECT_EQ(short_number(0.25), "0.25");
  EXPECT_EQ(short_number(950), "950");
  EXPECT_EQ(short_number(48213), "48.2k");
  EXPECT_EQ(short_number(1.3e6), "1.3M");
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(1e-5), "1.0e-05");
  EXPECT_EQ(short_number(std::nan("")), "–");
}

TEST(NaturalOrder, ComparesNumbersByValue) {
  EXPECT_TRUE(natural_less("bottom:2", "bottom:10"));
  EXPECT_FALSE(natural_less("bottom:10", "bottom:2"));
  EXPECT_TRUE(natural_less("a", "a1"));
  EXPECT_TRUE(natural_less("a2b", "a2c"));
  EXPECT_FALSE(natural_less("x", "x"));
  EXPECT_TRUE(natural_less("01", "1") != natural_less("1", "01"));
}

}  // namespace
}  // namespace mixspan
