/* Another clock for a process: built by the tests, and loaded with LD_PRELOAD.
   CLOCK_STANDS_AT: seconds since 1970 at which it stands still, half a second past.
   CLOCK_IS_OFF_BY: seconds, separated by commas, that are added in turn, call by call. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

static long next_offset(void) {
  static unsigned long calls;
  long offsets[16];
  int count = 0;
  for (const char *at = getenv("CLOCK_IS_OFF_BY"); at && *at && count < 16; count++) {
    char *end;
    offsets[count] = strtol(at, &end, 10);
    at = *end == ',' ? end + 1 : end;
  }
  return count ? offsets[__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED) % count] : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, now);
  if (clock != CLOCK_REALTIME || result) return result;
  const char *stands = getenv("CLOCK_STANDS_AT");
  if (stands) {
    now->tv_sec = strtol(stands, NULL, 10);
    now->tv_nsec = 500000000;
  }
  now->tv_sec += next_offset();
  return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec precise;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &precise);
  now->tv_sec = precise.tv_sec;
  now->tv_usec = precise.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *seconds) {
  struct timespec precise;
  clock_gettime(CLOCK_REALTIME, &precise);
  if (seconds) *seconds = precise.tv_sec;
  return precise.tv_sec;
}
