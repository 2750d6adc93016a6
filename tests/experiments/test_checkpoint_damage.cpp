// Damaged checkpoints are refused with one line, never used and never a crash.
#include <gtest/gtest.h>

#include <fstream>

#include "experiments/run/manifest.h"
#include "tests/experiments/checkpoint_fixture.h"

namespace mixspan {
namespace {

namespace fs = std::filesystem;

class CheckpointDamage : public test::CheckpointTest {
 protected:
  CheckpointDamage() : saved(save(10)) {}

  // Everything that reads a checkpoint must refuse it, in one line that names a file of it.
  void expect_refused(const std::string& what) const {
    for (const auto& reader : {std::function<void()>([&] { Checkpoint::open(saved); }),
                               std::function<void()>([&] { find_newest(folder); })}) {
      const std::string message = test::refusal(reader);
      ASSERT_NE(message.find("step-00000010"), std::string::npos) << what << ": " << message;
      ASSERT_EQ(message.find('\n'), std::string::npos) << what << ": " << message;
    }
  }

  void flip(const fs::path& file, std::size_t byte, int bit) const {
    std::fstream f(file, std::ios::binary | std::ios::in | std::ios::out);
    f.seekg(static_cast<std::streamoff>(byte));
    const char c = static_cast<char>(f.get());
    f.seekp(static_cast<std::streamoff>(byte));
    f.put(static_cast<char>(c ^ (1 << bit)));
  }

  const fs::path saved;
  static constexpr const char* kFiles[] = {"state.h5", "config.toml", "tokenizer.json",
                                           "manifest.json"};
};

TEST_F(CheckpointDamage, EveryLengthButTheRightOneIsRefused) {
  for (const char* name : kFiles) {
    const std::string whole = test::read_file(saved / name);
    const std::size_t stride = std::max<std::size_t>(1, whole.size() / 50);
    for (std::size_t length = 0; length < whole.size(); length += stride) {
      test::write_file(saved / name, whole.substr(0, length));
      expect_refused(fmt::format("{} cut to {} bytes", name, length));
    }
    for (const std::string& other : {whole.substr(0, whole.size() - 1), whole + "\n", whole + whole,
                                     std::string(whole.size(), '\0')}) {
      test::write_file(saved / name, other);
      expect_refused(fmt::format("{} of {} bytes", name, other.size()));
    }
    test::write_file(saved / name, whole);
  }
  EXPECT_EQ(Checkpoint::open(saved).meta().step, 10);
}

TEST_F(CheckpointDamage, NoFlippedBitIsAccepted) {
  int flips = 0;
  for (const char* name : kFiles) {
    const std::size_t size = fs::file_size(saved / name);
    const bool small = size < 5000;  // every bit of it
    for (std::size_t bit = 0; bit < 8 * size; bit += small ? 1 : 8 * size / 1500 + 1, ++flips) {
      flip(saved / name, bit / 8, static_cast<int>(bit % 8));
      ASSERT_THROW(Checkpoint::open(saved), InputError) << name << " bit " << bit;
      flip(saved / name, bit / 8, static_cast<int>(bit % 8));
    }
  }
  EXPECT_GT(flips, 5000);
  EXPECT_EQ(Checkpoint::open(saved).meta().step, 10);
}

TEST_F(CheckpointDamage, MissingFilesAndFoldersInTheirPlaceAreRefused) {
  for (const char* name : kFiles) {
    fs::rename(saved / name, scratch / "aside");
    expect_refused(fmt::format("{} missing", name));
    fs::create_directory(saved / name);
    expect_refused(fmt::format("{} is a folder", name));
    fs::remove(saved / name);
    fs::rename(scratch / "aside", saved / name);
  }
  fs::remove_all(saved);
  EXPECT_NE(test::refusal([&] { Checkpoint::open(saved); }).find("there is no such checkpoint"),
            std::string::npos);
  test::write_file(saved, "a file");
  expect_refused("a file");
}

TEST_F(CheckpointDamage, FilesOfAnotherCheckpointAreRefused) {
  const fs::path other = save(11);
  for (const char* name : {"state.h5", "manifest.json"}) {
    const std::string own = test::read_file(saved / name);
    fs::copy_file(other / name, saved / name, fs::copy_options::overwrite_existing);
    EXPECT_THROW(Checkpoint::open(saved), InputError) << name;
    test::write_file(saved / name, own);
  }
}

TEST_F(CheckpointDamage, StrangeManifestsAreRefused) {
  for (const std::string& text :
       {std::string("{}"), std::string("null"), std::string("[1, 2]"), std::string(100000, '['),
        std::string("{\"step\": 1e99}"), std::string("{\"files\": 3, \"step\": -1}"),
        std::string(3 << 20, ' '), std::string("\xff\xfe\0\n", 4)}) {
    test::write_file(saved / "manifest.json", text);
    expect_refused(text.substr(0, 30));
  }
}

// A manifest can be right about bytes that are wrong: HDF5's own checks come after it.
TEST_F(CheckpointDamage, AWrongStateUnderARightManifestIsRefused) {
  const Manifest manifest = read_manifest(saved);
  const std::string state = test::read_file(saved / "state.h5");
  for (const std::string& wrong : {std::string("no HDF5"), std::string(), state.substr(0, 3000)}) {
    test::write_file(saved / "state.h5", wrong);
    Manifest lying = manifest;
    lying.files["state.h5"] = file_digest(saved / "state.h5");
    write_manifest(saved, lying);
    expect_refused(fmt::format("{} bytes", wrong.size()));
  }
  test::write_file(saved / "state.h5", state);
  Manifest lying = manifest;
  lying.content = "0000000000000000";
  write_manifest(saved, lying);
  EXPECT_NE(test::refusal([&] { content_digest(saved); }).find("its content's digest is"),
            std::string::npos);
  lying = manifest;
  lying.files.erase("state.h5");
  write_manifest(saved, lying);
  expect_refused("no state named");
}

}  // namespace
}  // namespace mixspan
