// A process that is killed, or whose disk is full, leaves whole checkpoints or none.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>
#include <thread>

#include "tests/experiments/checkpoint_fixture.h"
#include "tests/support/close.h"

namespace mixspan {
namespace {

namespace fs = std::filesystem;

class CheckpointKill : public test::CheckpointTest {
 protected:
  // The step of the newest checkpoint. Every published one must be whole and hold what its step
  // held, and so must `latest`, where it is.
  std::int64_t newest_step() const {
    const NewestCheckpoint found = find_newest(folder);
    EXPECT_TRUE(found.damaged.empty()) << found.damaged.front();
    if (!found.path) return 0;
    for (const std::string& name : entries()) {
      if (!name.ends_with(".tmp")) expect_whole(folder / name);
    }
    return Checkpoint::open(*found.path).meta().step;
  }

  static void expect_whole(const fs::path& path) {
    const Checkpoint c = Checkpoint::open(path);
    const State want(c.meta().step);
    for (const NamedConstView& t : want.views()) {
      Tensor got(c.shape(t.name), t.view.dtype());
      c.read(t.name, got);
      EXPECT_EQ(test::bits_differ(got.view(), t.view), "") << path.string() << t.name;
    }
  }
};

TEST_F(CheckpointKill, AtRandomMoments) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  save(1, 2);
  // Up to about two saves, however slow the disk is.
  const auto longest =
      std::min<Clock::duration>(3 * (Clock::now() - begin), std::chrono::milliseconds(200));
  std::mt19937 random(1);
  std::int64_t before = 1;
  for (int kill = 0; kill < 30; ++kill) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      for (std::int64_t step = before + 1;; ++step) save(step, 2);
    }
    std::this_thread::sleep_for(longest * (random() % 1000) / 1000);
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself";
    const std::int64_t now = newest_step();
    EXPECT_GE(now, before) << "a published checkpoint was lost";
    before = now;
  }
  save(before + 1, 2);
  EXPECT_EQ(newest_step(), before + 1);
}

// Whether a system call, at whose entry `info` was taken, changes the file system.
bool changes_files(const __ptrace_syscall_info& info) {
  switch (info.entry.nr) {
    case SYS_write:
    case SYS_pwrite64:
    case SYS_ftruncate:
    case SYS_rename:
    case SYS_renameat2:
    case SYS_mkdir:
    case SYS_symlink:
    case SYS_unlink:
    case SYS_unlinkat:
    case SYS_rmdir:
      return true;
    case SYS_openat:
      return (info.entry.args[2] & O_CREAT) != 0;
    default:
      return false;
  }
}

// Runs body() in a child and calls look() each time the child is about to change the file system:
// what look() sees is what a kill at that moment would leave. Returns how often; 0 where tracing is
// not allowed.
int at_every_change(const std::function<void()>& body, const std::function<void()>& look) {
  const pid_t child = fork();
  if (child == 0) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(99);
    raise(SIGSTOP);
    body();
    _exit(0);
  }
  int status = 0, changes = 0;
  waitpid(child, &status, 0);
  if (!WIFSTOPPED(status)) return 0;
  ::ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  while (!WIFEXITED(status) && !WIFSIGNALED(status)) {
    __ptrace_syscall_info info{};
    if (::ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info) > 0 &&
        info.op == PTRACE_SYSCALL_INFO_ENTRY && changes_files(info)) {
      ++changes;
      look();
    }
    ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
    waitpid(child, &status, 0);
  }
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  return changes;
}

// Replaces step 2, saves step 3 and prunes step 1: every kind of change that a save makes.
TEST_F(CheckpointKill, BeforeEveryChangeOfTheFileSystem) {
  CheckpointMeta other = meta(2);
  other.config_toml = "old";
  save(1);
  save_checkpoint(folder, other, State(2).views(), 3);
  std::int64_t before = 2;
  const int changes = at_every_change(
      [&] {
        save(2, 2);
        save(3, 2);
      },
      [&] {
        const std::int64_t now = newest_step();
        EXPECT_GE(now, before);
        before = now;
      });
  if (changes == 0) GTEST_SKIP() << "system calls cannot be traced here";
  EXPECT_GT(changes, 40);
  EXPECT_EQ(newest_step(), 3);
  EXPECT_EQ(Checkpoint::open(folder / "step-00000002").meta().config_toml, meta(2).config_toml);
}

class CheckpointDisk : public CheckpointKill {
 protected:
  // The message of the Error, not InputError, that body() throws; else "".
  static std::string error_of(const std::function<void()>& body) {
    try {
      body();
    } catch (const InputError&) {
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  }

  // The exit code of a child that runs body() and then ends as a program does.
  static int exit_code_of(const std::function<int()>& body) {
    const pid_t child = fork();
    if (child == 0) {
      int code = 9;
      try {
        code = body();
      } catch (...) {
      }
      std::exit(code);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
};

TEST_F(CheckpointDisk, AFullDiskIsAClearErrorAndCostsNothing) {
  save(1);
  for (const rlim_t limit : {rlim_t{0}, rlim_t{10}, rlim_t{5000}, rlim_t{900000}}) {
    const int code = exit_code_of([&] {
      signal(SIGXFSZ, SIG_IGN);  // so that writing beyond the limit fails, as on a full disk
      const struct rlimit full { limit, limit };
      setrlimit(RLIMIT_FSIZE, &full);
      const std::string message =
          error_of([&] { save_checkpoint(folder, meta(2), State(2, /*large=*/true).views(), 1); });
      return message.find("step-00000002.") != std::string::npos &&
                     message.find("File too large") != std::string::npos &&
                     message.find('\n') == std::string::npos
                 ? 7
                 : 4;
    });
    EXPECT_EQ(code, 7) << "limit " << limit;
    EXPECT_EQ(entries(), (std::vector<std::string>{"latest", "step-00000001"})) << limit;
    EXPECT_EQ(newest_step(), 1);
  }
}

TEST_F(CheckpointDisk, AnUnwritableFolderIsAClearErrorAndCostsNothing) {
  save(1);
  const fs::perms read_only = static_cast<fs::perms>(0555);
  fs::permissions(folder, read_only);
  fs::permissions(scratch.path(), read_only);  // readable for the user that root becomes below
  const int code = exit_code_of([&] {
    const bool root = geteuid() == 0;  // who may write anywhere
    if (root && seteuid(65534) != 0) return 6;
    const std::string message = error_of([&] { save(2, 1); });
    if (root && seteuid(0) != 0) return 6;  // the leak checker cannot work for another user
    return message.find("Permission denied") != std::string::npos ? 7 : 4;
  });
  fs::permissions(folder, fs::perms::owner_all);
  fs::permissions(scratch.path(), fs::perms::owner_all);
  EXPECT_EQ(code, 7);
  EXPECT_EQ(newest_step(), 1);

  const fs::path file = scratch / "file";
  test::write_file(file, "");
  EXPECT_THROW(save_checkpoint(file / "checkpoints", meta(1), State(1).views(), 1), Error);
}

}  // namespace
}  // namespace mixspan
