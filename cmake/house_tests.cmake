# Tests of the house itself, label `house`: arrows, sizes, documents, headers, and that these checks catch what they
# are there to catch.

set(checks ${CMAKE_SOURCE_DIR}/cmake)
foreach(check arrows names budgets docs)
  add_test(NAME House.${check} COMMAND ${checks}/check_${check}.sh ${CMAKE_SOURCE_DIR})
endforeach()
add_test(NAME House.mutants_have_a_place COMMAND ${CMAKE_SOURCE_DIR}/scripts/mutants --check)
add_test(NAME House.checks_catch_violations COMMAND ${checks}/test_checks.sh)
add_test(NAME House.headers_compile_alone
         COMMAND ${CMAKE_COMMAND} --build ${CMAKE_BINARY_DIR} --target header_self_test)
set_tests_properties(House.arrows House.names House.budgets House.docs House.mutants_have_a_place
                     House.checks_catch_violations PROPERTIES LABELS house)
set_tests_properties(House.headers_compile_alone PROPERTIES LABELS house RUN_SERIAL ON TIMEOUT 900)
