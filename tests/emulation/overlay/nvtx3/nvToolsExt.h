// The part of NVTX that the project calls, for the emulated build: the test is the tool that looks.
#pragma once

int nvtxRangePushA(const char* name);
int nvtxRangePop();
