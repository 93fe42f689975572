/* A disk that kills, fails and records: preloaded into a process, for files below one folder.

   Every call that changes a file or a name there is counted. disk_kill ends the process at the n-th
   call (of a write, perhaps after half of it); disk_fail lets it return an error or write too
   little; disk_record writes all calls with their data to a log, from which every state is made
   that the disk could be in if power were cut. Nothing else changes. Linux only. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN, WRITE, TRUNCATE, SYNC, RENAME, UNLINK, MKDIR, RMDIR, LINK, CLOSE, MARK, REOPEN };
enum { NOTHING, KILL, TEAR, FAIL, SHORTEN };
enum { N_FDS = 4096 };

struct entry { /* of the log; the first and second path and the data follow */
  int32_t op, fd, flags, n_path, n_other;
  int64_t offset, n_data;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char folder[4096], refused[4096];
static char watched[N_FDS];
static size_t n_folder;
static int action, error_number, lasting, log_fd = -1;
static unsigned kinds = ~0u;
static long at, calls, fired;

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static int below(const char *path) {
  return n_folder && path && !strncmp(path, folder, n_folder) &&
         (path[n_folder] == '/' || !path[n_folder]);
}

static int known(int fd) { return n_folder && fd >= 0 && fd < N_FDS && watched[fd]; }

static void put(const void *data, size_t n) {
  for (const char *p = data; n;) {
    long done = syscall(SYS_write, log_fd, p, n);
    if (done <= 0) abort();
    p += done, n -= (size_t)done;
  }
}

static void record(int op, int fd, int flags, const char *path, const char *other, int64_t offset,
                   const void *data, int64_t n_data) {
  if (log_fd < 0) return;
  struct entry entry = {op, fd, flags, path ? (int32_t)strlen(path) : 0,
                        other ? (int32_t)strlen(other) : 0, offset, n_data};
  put(&entry, sizeof entry);
  put(path, (size_t)entry.n_path);
  put(other, (size_t)entry.n_other);
  put(data, (size_t)n_data);
}

/* What becomes of a call: 0 it is made, > 0 it fails with that error, -1 half of it is written,
   -2 half of it is written and the process ends. */
static int fate(int op, size_t n) {
  if (!(kinds >> op & 1)) return 0;
  calls++;
  int due = calls == at || (lasting && calls > at);
  if (!action || !due) return 0;
  fired++;
  if (action == KILL || (action == TEAR && (op != WRITE || n < 2))) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
  }
  if (action == TEAR) return -2;
  if (action == SHORTEN) return op == WRITE && n > 1 ? -1 : 0;
  return error_number;
}

/* --- what a test calls ------------------------------------------------------------------------ */
void disk_watch(const char *path) {
  n_folder = strlen(path);
  memcpy(folder, path, n_folder + 1);
  calls = fired = 0;
}

void disk_arm(int what, long n, int error, int for_good, unsigned ops) {
  pthread_mutex_lock(&mutex);
  action = what, at = n, error_number = error, lasting = for_good, kinds = ops;
  calls = fired = 0;
  pthread_mutex_unlock(&mutex);
}

long disk_calls(void) { return calls; }
long disk_fired(void) { return fired; }
void disk_record(int fd) { log_fd = fd; }
void disk_mark(const char *text) {
  pthread_mutex_lock(&mutex);
  record(MARK, -1, 0, text, NULL, 0, NULL, 0);
  pthread_mutex_unlock(&mutex);
}

/* --- what is called instead of the system's --------------------------------------------------- */
#define MADE(type, op, n, call, ...)            \
  pthread_mutex_lock(&mutex);                   \
  int coming = fate(op, n);                     \
  type result = -1;                             \
  if (coming > 0) {                             \
    errno = coming;                             \
  } else {                                      \
    result = call;                              \
    int kept = errno;                           \
    if (result >= 0) {                          \
      __VA_ARGS__;                              \
    }                                           \
    errno = kept;                               \
  }                                             \
  pthread_mutex_unlock(&mutex);                 \
  return result

static int opened(int fd, const char *path, int flags, int is_new) {
  if (fd >= 0 && fd < N_FDS) watched[fd] = 1;
  record(OPEN, fd, (flags & ~O_CREAT) | (is_new ? O_CREAT : 0), path, NULL, 0, NULL, 0);
  return fd;
}

/* Who may not open a file for writing tries it for reading, as SQLite does: a failing disk refuses
   that as well, or a connection that can only read would be left. */
static char refused[4096];

static int tried_again(const char *path) {
  pthread_mutex_lock(&mutex);
  int is = refused[0] && !strcmp(path, refused);
  refused[0] = 0;
  pthread_mutex_unlock(&mutex);
  return is;
}

static int open_for_reading(int fd, const char *path, int flags) {
  pthread_mutex_lock(&mutex);
  if (fd >= 0) opened(fd, path, flags, 0);
  pthread_mutex_unlock(&mutex);
  return fd;
}

#define OPENING(name)                                                             \
  int name(const char *path, int flags, ...) {                                    \
    va_list more;                                                                 \
    va_start(more, flags);                                                        \
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0;     \
    va_end(more);                                                                 \
    if (!below(path)) return REAL(name)(path, flags, mode);                       \
    if (!(flags & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR))) {                     \
      if (tried_again(path)) return errno = error_number, -1;                     \
      return open_for_reading(REAL(name)(path, flags, mode), path, flags);        \
    }                                                                             \
    int is_new = flags & O_CREAT && access(path, F_OK);                           \
    pthread_mutex_lock(&mutex);                                                   \
    int coming = fate(is_new ? OPEN : REOPEN, 0), result = -1;                    \
    if (coming > 0) {                                                             \
      strncpy(refused, path, sizeof refused - 1);                                 \
      errno = coming;                                                             \
    } else {                                                                      \
      result = REAL(name)(path, flags, mode);                                     \
      int kept = errno;                                                           \
      if (result >= 0) opened(result, path, flags, is_new);                       \
      errno = kept;                                                               \
    }                                                                             \
    pthread_mutex_unlock(&mutex);                                                 \
    return result;                                                                \
  }
OPENING(open)
OPENING(open64)

int close(int fd) {
  if (known(fd)) {
    pthread_mutex_lock(&mutex);
    watched[fd] = 0;
    record(CLOSE, fd, 0, NULL, NULL, 0, NULL, 0);
    pthread_mutex_unlock(&mutex);
  }
  return REAL(close)(fd);
}

static void written(int fd, int coming, int64_t offset, const void *data, ssize_t n) {
  record(WRITE, fd, 0, NULL, NULL, offset, data, n);
  if (coming == -2) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
  }
}

ssize_t write(int fd, const void *data, size_t n) {
  if (!known(fd)) return REAL(write)(fd, data, n);
  int64_t offset = lseek(fd, 0, SEEK_CUR);
  MADE(ssize_t, WRITE, n, REAL(write)(fd, data, coming < 0 ? n / 2 : n),
       written(fd, coming, offset, data, result));
}

#define WRITING(name)                                                          \
  ssize_t name(int fd, const void *data, size_t n, off_t offset) {             \
    if (!known(fd)) return REAL(name)(fd, data, n, offset);                    \
    MADE(ssize_t, WRITE, n, REAL(name)(fd, data, coming < 0 ? n / 2 : n, offset), \
         written(fd, coming, offset, data, result));                           \
  }
WRITING(pwrite)
WRITING(pwrite64)

ssize_t writev(int fd, const struct iovec *parts, int n) {
  if (!known(fd)) return REAL(writev)(fd, parts, n);
  ssize_t sum = 0;
  for (int i = 0; i < n; i++) {
    ssize_t done = write(fd, parts[i].iov_base, parts[i].iov_len);
    if (done < 0) return sum ? sum : done;
    sum += done;
    if ((size_t)done < parts[i].iov_len) break;
  }
  return sum;
}

#define TRUNCATING(name)                                                  \
  int name(int fd, off_t n) {                                             \
    if (!known(fd)) return REAL(name)(fd, n);                             \
    MADE(int, TRUNCATE, 0, REAL(name)(fd, n), record(TRUNCATE, fd, 0, NULL, NULL, n, NULL, 0)); \
  }
TRUNCATING(ftruncate)
TRUNCATING(ftruncate64)

#define SYNCING(name)                                                    \
  int name(int fd) {                                                     \
    if (!known(fd)) return REAL(name)(fd);                               \
    MADE(int, SYNC, 0, REAL(name)(fd), record(SYNC, fd, 0, NULL, NULL, 0, NULL, 0)); \
  }
SYNCING(fsync)
SYNCING(fdatasync)

int rename(const char *path, const char *other) {
  if (!below(path) && !below(other)) return REAL(rename)(path, other);
  MADE(int, RENAME, 0, REAL(rename)(path, other), record(RENAME, -1, 0, path, other, 0, NULL, 0));
}

int link(const char *path, const char *other) {
  if (!below(path) && !below(other)) return REAL(link)(path, other);
  MADE(int, LINK, 0, REAL(link)(path, other), record(LINK, -1, 0, path, other, 0, NULL, 0));
}

#define NAMED(name, op)                                                   \
  int name(const char *path) {                                            \
    if (!below(path)) return REAL(name)(path);                            \
    MADE(int, op, 0, REAL(name)(path), record(op, -1, 0, path, NULL, 0, NULL, 0)); \
  }
NAMED(unlink, UNLINK)
NAMED(rmdir, RMDIR)

int mkdir(const char *path, mode_t mode) {
  if (!below(path)) return REAL(mkdir)(path, mode);
  MADE(int, MKDIR, 0, REAL(mkdir)(path, mode), record(MKDIR, -1, 0, path, NULL, 0, NULL, 0));
}

/* Copies inside the kernel are refused, so that they are made of reads and writes. */
ssize_t sendfile64(int out, int in, off64_t *offset, size_t n) {
  if (known(out)) return errno = ENOSYS, -1;
  return ((ssize_t(*)(int, int, off64_t *, size_t))real("sendfile64"))(out, in, offset, n);
}

ssize_t sendfile(int out, int in, off_t *offset, size_t n) {
  if (known(out)) return errno = ENOSYS, -1;
  return ((ssize_t(*)(int, int, off_t *, size_t))real("sendfile"))(out, in, offset, n);
}

ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t n, unsigned flags) {
  if (known(out)) return errno = ENOSYS, -1;
  return REAL(copy_file_range)(in, from, out, to, n, flags);
}
