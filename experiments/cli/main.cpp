#include "experiments/cli/commands.h"

int main(int argc, char** argv) { return mixspan::run_command_line(argc, argv); }
