#include "experiments/report/svg.h"

#include <fmt/format.h>

#include <cmath>

#include "experiments/report/chart.h"
#include "experiments/report/markup.h"

namespace mixspan {

namespace {

// Two hues that keep apart for every kind of colour blindness and both backgrounds; the ramp is one
// hue, stronger meaning more.
constexpr std::string_view kStyle = R"(
:root{color-scheme:light dark;--paper:#fff;--ink:#1b1f24;--quiet:#59636e;--rule:#d8dee4;--faint:#eef1f4;
--c0:#0072b2;--c1:#d55e00;--c2:#00805f;--c3:#b0518a;--c4:#a87400;--c5:#2b8cc4;--c6:#6b5b95;--c7:#6e6e6e;
--q0:#bcd7ee;--q1:#a3c7e6;--q2:#87b5dc;--q3:#6aa1d0;--q4:#4f8bc1;--q5:#3975af;--q6:#265e98;--q7:#16477d;--q8:#0b3160}
@media (prefers-color-scheme:dark){:root{--paper:#14171b;--ink:#e3e7ec;--quiet:#9aa4af;--rule:#353c45;--faint:#1f242a;
--c0:#56b4e9;--c1:#ff8c42;--c2:#2cc79b;--c3:#e79ac9;--c4:#eab543;--c5:#8ec9f0;--c6:#b3a5dd;--c7:#a9a9a9;
--q0:#25394d;--q1:#2c4a68;--q2:#345c84;--q3:#3f70a0;--q4:#5086b9;--q5:#699ecd;--q6:#87b5dd;--q7:#a8cceb;--q8:#cde3f6}}
.fig text{font:12px/1 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;fill:var(--ink);font-variant-numeric:tabular-nums}
.fig .t{fill:var(--quiet)}.fig .h{fill:var(--quiet);font-weight:600}.fig .mid{text-anchor:middle}.fig .end{text-anchor:end}
.fig .g{stroke:var(--rule);stroke-width:1;fill:none;opacity:.7}.fig .a{stroke:var(--quiet);stroke-width:1;fill:none}
.fig .l{fill:none;stroke:var(--k);stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}.fig .s{stroke-dasharray:5 4}
.fig .p{fill:var(--k)}.fig .e{fill:none;stroke:var(--k);stroke-width:1.3}.fig .b{fill:var(--k);opacity:.16}
.fig .n{fill:var(--k);paint-order:stroke;stroke:var(--paper);stroke-width:3px;stroke-linejoin:round}.fig .o{fill:none;stroke:var(--rule)}.fig .dim .l{stroke-width:1;opacity:.55}
.c0{--k:var(--c0)}.c1{--k:var(--c1)}.c2{--k:var(--c2)}.c3{--k:var(--c3)}.c4{--k:var(--c4)}.c5{--k:var(--c5)}
.c6{--k:var(--c6)}.c7{--k:var(--c7)}.ink{--k:var(--ink)}.dim{--k:var(--quiet)}
.q0{--k:var(--q0)}.q1{--k:var(--q1)}.q2{--k:var(--q2)}.q3{--k:var(--q3)}.q4{--k:var(--q4)}.q5{--k:var(--q5)}
.q6{--k:var(--q6)}.q7{--k:var(--q7)}.q8{--k:var(--q8)}
)";

}  // namespace

std::string_view figure_style() { return kStyle; }

std::string px(double value) {
  if (!std::isfinite(value)) return "0";
  const auto tenths = std::lround(value * 10);
  if (tenths % 10 == 0) return std::to_string(tenths / 10);
  return fmt::format("{}{}.{}", tenths < 0 ? "-" : "", std::abs(tenths) / 10,
                     std::abs(tenths) % 10);
}

std::string svg_text(double x, double y, std::string_view css, std::string_view text) {
  return fmt::format(R"(<text x="{}" y="{}"{}>{}</text>)", px(x), px(y),
                     css.empty() ? "" : fmt::format(R"( class="{}")", css), escaped(text));
}

std::string svg_element(double width, double height, std::string_view title, std::string_view body,
                        bool stand_alone) {
  const double margin = stand_alone ? 12 : 0;  // in a page, the page has it
  width += 2 * margin;
  height += 2 * margin;
  std::string head = fmt::format("<title>{}</title>", escaped(title));
  if (stand_alone) {
    head += fmt::format(
        R"x(<style>{}</style><rect x="{}" y="{}" width="{}" height="{}" style="fill:var(--paper)"/>)x",
        kStyle, px(-margin), px(-margin), px(width), px(height));
  }
  return fmt::format(
      R"(<svg class="fig"{} viewBox="{} {} {} {}" width="{}" height="{}" role="img">{}{}</svg>)",
      stand_alone ? R"( xmlns="http://www.w3.org/2000/svg")" : "", px(-margin), px(-margin),
      px(width), px(height), px(width), px(height), head, body);
}

}  // namespace mixspan
