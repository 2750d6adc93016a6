// Ranges that are timed on a device's stream.
#include "core/trace.h"

#include <map>

#include "kernels/gelu.h"
#include "tests/cuda/device_test.h"

namespace mixspan::test {
namespace {

class TraceOnDevice : public DeviceTest {};

TEST_F(TraceOnDevice, RangesAreThoseOfTheStreamInsideThoseOfTheHost) {
  Tracer tracer;
  tracer.follow(device(), exec().stream);
  Exec ex = exec();
  ex.tracer = &tracer;
  const Tensor x = upload(Tensor({1 << 16}));
  Tensor y = poisoned({1 << 16});
  for (int step = 0; step < 2; ++step) {
    const TraceRange host(&tracer, "step", TimedBy::host);
    {
      const TraceRange outer(&tracer, "outer");
      gelu_forward(ex, y, x);
      gelu_forward(ex, y, x);
    }
    EXPECT_EQ(tracer.events(), static_cast<std::size_t>(step) * 4)
        << "known before it was waited for";
    tracer.collect();
  }
  std::map<std::string, double> own;
  tracer.visit("step", 1, [&](std::span<const std::string_view> path, double seconds) {
    std::string way;
    for (const std::string_view name : path) way += "/" + std::string(name);
    own[way] += seconds;
    EXPECT_GE(seconds, 0);
  });
  ASSERT_EQ(own.size(), 3u);
  ASSERT_TRUE(own.contains("/step") && own.contains("/outer") && own.contains("/outer/gelu"));
  EXPECT_GT(own["/outer/gelu"], 0);
  EXPECT_LE(own["/outer/gelu"] + own["/outer"], own["/step"]);
  const auto totals = tracer.totals("step", 1);
  EXPECT_EQ(totals.front().name, "step");
  EXPECT_EQ(totals.size(), 3u);
}

}  // namespace
}  // namespace mixspan::test
