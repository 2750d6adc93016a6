#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "experiments/run/progress.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

Progress example() {
  return {.step = 1200,
          .steps = 10000,
          .loss = 3.81234,
          .grad_norm = 0.841,
          .lr = 3e-4,
          .tokens_per_s = 48213,
          .mfu = 0.4131,
          .memory_bytes = std::int64_t{1288490189},
          .eta_s = 7980};
}

TEST(Progress, LineHoldsEveryField) {
  EXPECT_EQ(progress_text(example(), {}),
            "step 1200/10000  loss 3.8123  gnorm 0.84  lr 3.0e-04  tok/s 48.2k  mfu 41.3%  mem "
            "1.2G  eta 2h13m");
}

TEST(Progress, UnknownFiguresAreNotGuessed) {
  Progress p = example();
  p.mfu.reset();
  p.eta_s = -1;
  EXPECT_EQ(progress_text(p, {}),
            "step 1200/10000  loss 3.8123  gnorm 0.84  lr 3.0e-04  tok/s 48.2k  mem 1.2G  eta ?");
}

TEST(Progress, NarrowTerminalsLoseTheLeastFieldsFirst) {
  const std::string whole = progress_text(example(), {});
  for (int width = 1; width < 120; ++width) {
    const std::string text =
        progress_text(example(), {.live = false, .color = false, .width = width});
    EXPECT_TRUE(text.starts_with("step 1200/10000  loss 3.8123")) << text;
    if (width >= 28) {
      EXPECT_LE(text.size(), static_cast<std::size_t>(width)) << text;
    }
  }
  EXPECT_EQ(progress_text(example(), {.live = false, .color = false, .width = 28}),
            "step 1200/10000  loss 3.8123");
  EXPECT_EQ(progress_text(example(), {.live = false, .color = false, .width = 39}),
            "step 1200/10000  loss 3.8123  eta 2h13m");
  EXPECT_EQ(progress_text(example(), {.live = false, .color = false, .width = 38}),
            "step 1200/10000  loss 3.8123");
  EXPECT_EQ(progress_text(example(),
                          {.live = false, .color = false, .width = static_cast<int>(whole.size())}),
            whole);
}

TEST(Progress, ColourAddsOnlyEscapes) {
  std::string text = progress_text(example(), {.live = true, .color = true, .width = 0});
  EXPECT_NE(text.find("\x1b[1m3.8123\x1b[0m"), std::string::npos);
  for (std::size_t at; (at = text.find('\x1b')) != std::string::npos;) {
    text.erase(at, text.find('m', at) - at + 1);
  }
  EXPECT_EQ(text, progress_text(example(), {}));
}

TEST(Progress, NumbersForPeople) {
  EXPECT_EQ(human_count(0), "0");
  EXPECT_EQ(human_count(999.4), "999");
  EXPECT_EQ(human_count(999.6), "1.0k");
  EXPECT_EQ(human_count(48213), "48.2k");
  EXPECT_EQ(human_count(999949), "999.9k");
  EXPECT_EQ(human_count(999951), "1.0M");
  EXPECT_EQ(human_count(1.25e12), "1.2T");
  EXPECT_EQ(human_count(std::numeric_limits<double>::infinity()), "?");
  EXPECT_EQ(human_bytes(950), "950B");
  EXPECT_EQ(human_bytes(1024), "1.0K");
  EXPECT_EQ(human_bytes((std::int64_t{1} << 30) - 1), "1.0G");
  EXPECT_EQ(human_bytes(std::int64_t{3} << 39), "1.5T");
  EXPECT_EQ(human_duration(0), "0s");
  EXPECT_EQ(human_duration(59.6), "1m00s");
  EXPECT_EQ(human_duration(307), "5m07s");
  EXPECT_EQ(human_duration(7980), "2h13m");
  EXPECT_EQ(human_duration(273600), "3d04h");
  EXPECT_EQ(human_duration(std::nan("")), "?");
  EXPECT_EQ(human_duration(1e300), "?");
}

// What a printer writes, as a string.
template <class F>
std::string printed(LineStyle style, F&& body) {
  const test::ScratchFolder folder;
  std::FILE* file = std::fopen((folder / "out").c_str(), "w");
  {
    ProgressPrinter printer(file, style);
    body(printer);
  }
  std::fclose(file);
  return test::read_file(folder / "out");
}

TEST(ProgressPrinter, RedrawsOneLineOnATerminal) {
  const std::string line = progress_text(example(), {});
  const std::string out = printed({.live = true}, [](ProgressPrinter& p) {
    p.update(example());
    p.note("saved");
    p.update(example());
  });
  const std::string clear = "\r\x1b[K";
  EXPECT_EQ(out, line + clear + "saved\n" + line + clear + line + "\n");
}

TEST(ProgressPrinter, WritesPlainLinesElsewhere) {
  const std::string line = progress_text(example(), {});
  const std::string out = printed({}, [](ProgressPrinter& p) {
    p.update(example());
    p.note("saved");
    p.update(example());
  });
  EXPECT_EQ(out, line + "\nsaved\n" + line + "\n");
}

TEST(LineStyle, AFileIsNoTerminal) {
  const test::ScratchFolder folder;
  std::FILE* file = std::fopen((folder / "out").c_str(), "w");
  const LineStyle style = LineStyle::of(file);
  std::fclose(file);
  EXPECT_FALSE(style.live);
  EXPECT_FALSE(style.color);
  EXPECT_EQ(style.width, 0);
}

}  // namespace
}  // namespace mixspan
