#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "experiments/run/checkpoint.h"
#include "tests/experiments/checkpoint_fixture.h"
#include "tests/support/close.h"

namespace mixspan {
namespace {

using test::CheckpointTest;
namespace fs = std::filesystem;

class CheckpointSave : public CheckpointTest {};

TEST_F(CheckpointSave, ReadsBackEveryBit) {
  const fs::path saved = save(200);
  EXPECT_EQ(saved, folder / "step-00000200");
  const Checkpoint c = Checkpoint::open(saved);
  EXPECT_EQ(c.meta().step, 200);
  EXPECT_EQ(c.meta().tokens_seen, 200 * 1024);
  EXPECT_EQ(c.meta().config_toml, meta(200).config_toml);
  EXPECT_EQ(c.meta().tokenizer_json, meta(200).tokenizer_json);
  EXPECT_EQ(c.meta().build, "test");
  EXPECT_EQ(c.names(), (std::vector<std::string>{"adam_m/wte.weight", "counts", "half",
                                                 "model/h.0.bias", "model/wte.weight"}));
  const State want(200);
  for (const NamedConstView& t : want.views()) {
    Tensor got(c.shape(t.name), t.view.dtype());
    c.read(t.name, got);
    EXPECT_EQ(test::bits_differ(got.view(), t.view), "") << t.name;
  }
  EXPECT_EQ(Checkpoint::open(saved / "manifest.json").content(), c.content());
}

TEST_F(CheckpointSave, FilesDoNotDependOnTheMoment) {
  save(1);
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // HDF5 notes whole seconds
  const fs::path other = scratch / "other";
  save_checkpoint(other, meta(1), State(1).views(), 3);
  for (const char* file : {"state.h5", "config.toml", "tokenizer.json", "manifest.json"}) {
    EXPECT_TRUE(test::read_file(folder / "step-00000001" / file) ==
                test::read_file(other / "step-00000001" / file))
        << file;
  }
}

TEST_F(CheckpointSave, OrderOfTensorsDoesNotMatter) {
  State state(1);
  std::vector<NamedConstView> reversed = state.views();
  std::reverse(reversed.begin(), reversed.end());
  save(1);
  save_checkpoint(scratch / "other", meta(1), reversed, 3);
  EXPECT_EQ(content_digest(folder / "step-00000001"),
            content_digest(scratch / "other/step-00000001"));
}

TEST_F(CheckpointSave, ContentDigestSeesEveryPart) {
  save(1);
  const std::string digest = content_digest(folder / "step-00000001");
  int number = 0;
  const auto digest_of = [&](const CheckpointMeta& m, const std::vector<NamedConstView>& tensors) {
    const fs::path path = scratch / fmt::format("other{}", number++);
    write_checkpoint(path, m, tensors);
    return content_digest(path);
  };
  State state(1);
  std::vector<NamedConstView> views = state.views();
  EXPECT_EQ(digest_of(meta(1), views), digest);
  CheckpointMeta m = meta(1);
  m.build = "another";
  EXPECT_EQ(digest_of(m, views), digest);
  m = meta(1);
  m.tokens_seen += 1;
  EXPECT_NE(digest_of(m, views), digest);
  m = meta(1);
  m.config_toml += "#";
  EXPECT_NE(digest_of(m, views), digest);
  m = meta(1);
  m.tokenizer_json.clear();
  EXPECT_NE(digest_of(m, views), digest);
  views[0].name += "x";
  EXPECT_NE(digest_of(meta(1), views), digest);
  views = state.views();
  views[0].view = views[0].view.reshape({views[0].view.size()});
  EXPECT_NE(digest_of(meta(1), views), digest);
  views = state.views();
  state.weight.data<float>()[17] = -state.weight.data<float>()[17];
  EXPECT_NE(digest_of(meta(1), views), digest);
}

TEST_F(CheckpointSave, KeepsTheNewestAndPointsToThem) {
  for (std::int64_t step : {10, 20, 30, 40}) save(step, 2);
  EXPECT_EQ(entries(), (std::vector<std::string>{"latest", "step-00000030", "step-00000040"}));
  EXPECT_EQ(fs::read_symlink(folder / "latest"), "step-00000040");
  EXPECT_EQ(Checkpoint::open(folder / "latest").meta().step, 40);
  save(50, 0);
  EXPECT_EQ(entries().size(), 4u);
  save(60, 1);
  EXPECT_EQ(entries(), (std::vector<std::string>{"latest", "step-00000060"}));
}

TEST_F(CheckpointSave, LeftoversOfAKilledSaveAreRemoved) {
  save(10);
  fs::copy(folder / "step-00000010", folder / "step-00000020.tmp");
  fs::create_directories(folder / "step-00000005.old.tmp");
  fs::create_symlink("nowhere", folder / "latest.tmp");
  EXPECT_EQ(find_newest(folder).path, folder / "step-00000010");
  save(30);
  EXPECT_EQ(entries(), (std::vector<std::string>{"latest", "step-00000010", "step-00000030"}));
}

TEST_F(CheckpointSave, TheSameStepAgainIsLeftOrReplaced) {
  const fs::path saved = save(10);
  const auto written = fs::last_write_time(saved / "state.h5");
  save(10);
  EXPECT_EQ(fs::last_write_time(saved / "state.h5"), written) << "written again without need";

  std::string state = test::read_file(saved / "state.h5");
  state[state.size() / 2] = static_cast<char>(state[state.size() / 2] ^ 1);
  test::write_file(saved / "state.h5", state);
  save(10);
  EXPECT_EQ(Checkpoint::open(saved).meta().step, 10) << "a damaged one was left";

  CheckpointMeta other = meta(10);
  other.config_toml = "steps = 9\n";
  save_checkpoint(folder, other, State(10).views(), 3);
  EXPECT_EQ(Checkpoint::open(saved).meta().config_toml, "steps = 9\n");
  EXPECT_EQ(entries(), (std::vector<std::string>{"latest", "step-00000010"}));
}

TEST_F(CheckpointSave, PruningNeverCountsDamagedOnes) {
  for (std::int64_t step : {10, 20, 30}) save(step);
  fs::remove(folder / "step-00000020/state.h5");
  test::write_file(folder / "step-00000030/manifest.json", "");
  // The run went back to step 10, because 20 and 30 cannot be used, and saves more often now.
  save(15, 2);
  EXPECT_EQ(entries(), (std::vector<std::string>{"latest", "step-00000010", "step-00000015",
                                                 "step-00000020", "step-00000030"}));
  save(20, 2);
  save(30, 2);
  EXPECT_EQ(entries(), (std::vector<std::string>{"latest", "step-00000020", "step-00000030"}));
  EXPECT_EQ(find_newest(folder).damaged.size(), 0u);
  save(40, 3);
  fs::resize_file(folder / "step-00000030/state.h5", 100);
  save(50, 3);
  EXPECT_EQ(entries(), (std::vector<std::string>{"latest", "step-00000020", "step-00000040",
                                                 "step-00000050"}));
}

TEST_F(CheckpointSave, TwoTensorsOfOneNameAreAFault) {
  State state(1);
  std::vector<NamedConstView> views = state.views();
  views.push_back(views.front());
  EXPECT_THROW(save_checkpoint(folder, meta(1), views, 3), Error);
  EXPECT_FALSE(fs::exists(folder / "step-00000001"));
}

TEST_F(CheckpointSave, AStandaloneOneIsNeverWrittenOverAnything) {
  State state(1);
  write_checkpoint((scratch / "out").string() + "/", meta(1), state.views());
  EXPECT_EQ(Checkpoint::open(scratch / "out").meta().step, 1);
  EXPECT_NE(test::refusal([&] {
              write_checkpoint(scratch / "out", meta(2), state.views());
            }).find("out: is there already"),
            std::string::npos);
  EXPECT_EQ(Checkpoint::open(scratch / "out").meta().step, 1);
}

TEST_F(CheckpointSave, NothingIsPublishedOrRemovedWithoutTheLease) {
  save(10, 1);
  fs::create_directories(folder / "step-00000020.of-another-writer.tmp");
  const std::vector<std::string> before = entries();
  for (int calls_before_loss : {0, 1}) {
    int calls = 0;
    const auto still_ours = [&] { check(calls++ < calls_before_loss, "lost"); };
    EXPECT_THROW(save_checkpoint(folder, meta(20), State(20).views(), 1, still_ours), Error);
    EXPECT_EQ(calls, calls_before_loss + 1);
    if (calls_before_loss == 0) {
      EXPECT_EQ(entries(), before);
    }
  }
  EXPECT_EQ(entries(), (std::vector<std::string>{"latest", "step-00000010"}));
}

class CheckpointFind : public CheckpointTest {};

TEST_F(CheckpointFind, NothingThereIsNoCheckpoint) {
  EXPECT_FALSE(find_newest(scratch / "none").path.has_value());
  fs::create_directories(folder / "step-00000010.tmp");
  fs::create_directories(folder / "step-10");
  test::write_file(folder / "step-notes", "");
  EXPECT_FALSE(find_newest(folder).path.has_value());
}

TEST_F(CheckpointFind, DamagedNewerOnesAreReportedAndSteppedOver) {
  for (std::int64_t step : {10, 20, 30}) save(step);
  fs::resize_file(folder / "step-00000030/state.h5", 100);
  fs::remove(folder / "step-00000020/manifest.json");
  const NewestCheckpoint found = find_newest(folder);
  EXPECT_EQ(found.path, folder / "step-00000010");
  ASSERT_EQ(found.damaged.size(), 2u);
  EXPECT_NE(found.damaged[0].find("step-00000030/state.h5: is truncated"), std::string::npos);
  EXPECT_NE(found.damaged[1].find("step-00000020: is not a checkpoint"), std::string::npos);
}

TEST_F(CheckpointFind, OnlyDamagedOnesAreRefused) {
  for (std::int64_t step : {10, 20}) {
    save(step);
    fs::resize_file(folder / fmt::format("step-{:08}", step) / "state.h5", 0);
  }
  const std::string message = test::refusal([&] { find_newest(folder); });
  EXPECT_NE(message.find("none of its checkpoints can be used"), std::string::npos) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

TEST_F(CheckpointFind, AFolderOfAnotherStepsNameIsDamage) {
  save(10);
  fs::rename(folder / "step-00000010", folder / "step-00000020");
  EXPECT_NE(test::refusal([&] { find_newest(folder); }).find("holds step 10"), std::string::npos);
}

TEST_F(CheckpointFind, NewestIsByNumber) {
  save(99999999);
  save(100000000);
  EXPECT_EQ(find_newest(folder).path, folder / "step-100000000");
}

TEST_F(CheckpointFind, ARunOrACheckpoint) {
  save(10);
  EXPECT_EQ(find_checkpoint(folder.parent_path()).path, folder / "step-00000010");
  EXPECT_EQ(find_checkpoint(folder / "step-00000010").path, folder / "step-00000010");
  fs::create_directories(scratch / "empty/checkpoints");
  EXPECT_NE(test::refusal([&] { find_checkpoint(scratch / "empty"); }).find("no checkpoint yet"),
            std::string::npos);
}

}  // namespace
}  // namespace mixspan
