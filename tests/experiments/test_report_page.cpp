// The page in a browser: no complaint on its console, tables that sort and filter. Skipped where
// there is no chromium.
#include <gtest/gtest.h>

#include "experiments/report/report.h"
#include "tests/experiments/report_runs.h"
#include "tests/support/program.h"

namespace mixspan {
namespace {

using namespace test;

constexpr const char* kBrowser = "/usr/bin/chromium";

/// Clicks on the heading of the losses, filters, and writes what is there then into attributes.
constexpr const char* kProbe = R"(<script>
window.onerror = function(m) { document.body.setAttribute('data-error', m); };
var table = document.querySelector('#variants table'), head = table.tHead.rows[0].cells;
var at = Array.prototype.findIndex.call(head, function(h) { return /^loss/.test(h.textContent); });
function losses() {
  return Array.prototype.map.call(table.tBodies[0].rows, function(r) {
    return r.cells[at].getAttribute('data-v');
  }).filter(function(v) { return v !== ''; }).map(Number);
}
function rising(v) { return v.every(function(x, i) { return i === 0 || v[i - 1] <= x; }); }
var before = rising(losses());
head[at].click();
var once = rising(losses());
head[at].click();
var twice = rising(losses().reverse());
document.body.setAttribute('data-sorted', [before, once, twice].join());
var filter = document.querySelector('#variants input.filter');
filter.value = 'BOTTOM:1 block';
filter.dispatchEvent(new Event('input'));
document.body.setAttribute('data-left', Array.prototype.filter.call(table.tBodies[0].rows,
  function(r) { return r.offsetHeight > 0; }).length);
var figures = document.querySelectorAll('figure');
Array.prototype.forEach.call(figures, function(f) {
  f.querySelectorAll('.save button')[1].click();
});
document.body.setAttribute('data-wide',
  document.documentElement.scrollWidth > window.innerWidth ? 'overflows' : 'fits');
</script></body>)";

TEST(ReportPage, SortsFiltersAndFitsInABrowser) {
  if (!std::filesystem::exists(kBrowser)) GTEST_SKIP() << "no " << kBrowser;
  const ScratchFolder folder(memory_folder());
  write_sweep(folder.path(), 3);
  write_report({folder.path(), folder / "report.html"});
  std::string page = read_file(folder / "report.html");
  const std::size_t end = page.rfind("</body>");
  ASSERT_NE(end, std::string::npos);
  write_file(folder / "probe.html", page.replace(end, 7, kProbe));
  for (const char* size : {"--window-size=1280,900", "--window-size=500,900"}) {
    const ProgramResult r =
        Program({kBrowser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                 "--enable-logging=stderr", "--v=0", "--virtual-time-budget=20000", size,
                 "--user-data-dir=" + (folder / "profile").string(), "--dump-dom",
                 "file://" + (folder / "probe.html").string()})
            .wait();
    ASSERT_EQ(r.exit_code, 0) << r.err;
    EXPECT_EQ(r.err.find("CONSOLE"), std::string::npos) << r.err;
    EXPECT_EQ(r.out.find("data-error=\""), std::string::npos);
    EXPECT_NE(r.out.find("data-sorted=\"false,true,true\""), std::string::npos);
    EXPECT_NE(r.out.find("data-left=\"1\""), std::string::npos);
    EXPECT_NE(r.out.find("data-wide=\"fits\""), std::string::npos);
    // Each figure was drawn as a PNG file; an empty one of this size has some 5000 characters.
    std::size_t figures = 0, drawn = 0;
    for (std::size_t i = r.out.find("<figure id"); i != r.out.npos;
         i = r.out.find("<figure id", i + 1)) {
      ++figures;
      const std::size_t png = r.out.find("data-png=\"", i);
      if (png < r.out.find('>', i) && std::stol(r.out.substr(png + 10)) > 8000) ++drawn;
    }
    EXPECT_GE(figures, 6u);
    EXPECT_EQ(drawn, figures);
  }
}

}  // namespace
}  // namespace mixspan
