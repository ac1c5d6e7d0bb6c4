// Races that ThreadSanitizer reports, counted and not printed, in a program that makes them on
// purpose.
#pragma once

namespace lockstep::testing {

// So far; 0 without ThreadSanitizer.
int race_reports();

}  // namespace lockstep::testing
