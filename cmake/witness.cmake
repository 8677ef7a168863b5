# What runs around a job where the executor is not ours, in containers and in actions: whatever they have or lack, so static always.
add_executable(casemate-witness src/apps/witness/main.cc)
target_link_libraries(casemate-witness PRIVATE casemate_witness)
target_link_options(casemate-witness PRIVATE -static -s -Wl,--gc-sections)
