#include <gtest/gtest.h>

#include "core/h5.h"
#include "tests/support/close.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

TEST(H5File, ReadsBackWhatWasWritten) {
  const test::ScratchFolder folder;
  const Tensor x = test::random_tensor({3, 5, 7}, 1);
  {
    H5File file = H5File::create(folder / "a.h5");
    file.write("model/x", x);
    file.write_text("note", "two\nlines");
    file.set_attribute("step", 42);
    file.set_attribute("kind", std::string("test"));
    file.close();
  }
  const H5File file = H5File::open(folder / "a.h5");
  EXPECT_EQ(file.names(), (std::vector<std::string>{"model/x", "note"}));
  Tensor y({3, 5, 7});
  file.read("model/x", y);
  EXPECT_EQ(test::bits_differ(y, x), "");
  EXPECT_EQ(file.read_text("note"), "two\nlines");
  EXPECT_EQ(file.int_attribute("step"), 42);
  EXPECT_EQ(file.text_attribute("kind"), "test");
  EXPECT_FALSE(file.has("model/y"));
  EXPECT_FALSE(file.has("nothing/here"));
}

TEST(H5File, AppendsGrowADataset) {
  const test::ScratchFolder folder;
  H5File file = H5File::create(folder / "a.h5");
  Tensor piece({1000}, DType::i32);
  for (int part = 0; part < 5; ++part) {
    for (int i = 0; i < 1000; ++i) piece.data<std::int32_t>()[i] = part * 1000 + i;
    file.append("tokens", piece);
  }
  EXPECT_EQ(file.shape("tokens"), Shape{5000});
  Tensor middle({10}, DType::i32);
  file.read_range("tokens", 1995, middle);
  EXPECT_EQ(middle.data<std::int32_t>()[9], 2004);
}

TEST(H5File, NoSingleFlippedBitGoesUnnoticed) {
  const test::ScratchFolder folder;
  const Tensor x = test::random_tensor({512}, 2);
  {
    H5File file = H5File::create(folder / "a.h5");
    file.write("x", x);
    file.close();
  }
  const std::string whole = test::read_file(folder / "a.h5");
  int refused = 0;
  for (std::size_t byte = 0; byte < whole.size(); byte += 7) {
    std::string damaged = whole;
    damaged[byte] = static_cast<char>(damaged[byte] ^ (1 << (byte % 8)));
    test::write_file(folder / "b.h5", damaged);
    try {
      const H5File file = H5File::open(folder / "b.h5");
      Tensor y({512});
      file.read("x", y);
      ASSERT_EQ(test::bits_differ(y, x), "") << "bit flip in byte " << byte << " read as data";

    } catch (const InputError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 100);
}

TEST(H5File, TruncatedAndEmptyAndMissingFilesAreRefused) {
  const test::ScratchFolder folder;
  {
    H5File file = H5File::create(folder / "a.h5");
    file.write("x", test::random_tensor({4096}, 2));
    file.close();
  }
  const std::string whole = test::read_file(folder / "a.h5");
  for (std::size_t keep :
       {std::size_t{0}, std::size_t{1}, std::size_t{100}, whole.size() / 2, whole.size() - 1}) {
    test::write_file(folder / "b.h5", whole.substr(0, keep));
    EXPECT_THROW(H5File::open(folder / "b.h5"), InputError) << keep;
  }
  EXPECT_NE(test::refusal([&] { H5File::open(folder / "none.h5"); }).find("no such file"),
            std::string::npos);
}

TEST(H5File, RefusesAWrongShapeByName) {
  const test::ScratchFolder folder;
  H5File file = H5File::create(folder / "a.h5");
  file.write("x", test::random_tensor({4}, 2));
  Tensor y({5});
  EXPECT_NE(test::refusal([&] { file.read("x", y); }).find("'x' has shape (4); wanted (5)"),
            std::string::npos);
}

}  // namespace
}  // namespace mixspan
