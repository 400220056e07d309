/*
 * The bench's load generator: HTTP/1.1 over many connections that are kept alive, plain, on a Unix socket, or TLS 1.3 with a client
 * certificate. Either each connection asks again as soon as it was answered, or requests are due at a fixed rate, and then a
 * request's latency counts from the moment at which it was due, whether a connection was free for it or not (no coordinated
 * omission). How late this program itself was is measured beside it. One JSON object comes out.
 *
 *     cc -O2 -o load load.c -lssl -lcrypto
 *     load [--port N | --unix PATH] [--ca F [--cert F --key F] --name N] --connections N --seconds S [--warm-up S] [--rate R]
 *          [--requests N] --message WEIGHT FILE [--message ...]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MESSAGES_MAX 1024
/* Requests until the messages come in the same order again, at least; no message is left out of it. */
#define CYCLE_MIN 100
#define RECEIVE_BYTES (4 << 20)

struct connection {
  int fd;
  SSL *ssl;
  double due;
  int in_flight;
  const char *unsent;
  size_t unsent_length;
  char *received;
  size_t received_length;
  size_t capacity;
};

/* Times in milliseconds, one for each request; grows. */
struct figures {
  float *at;
  size_t count, capacity;
};

/* Due times that no connection was free for: first in, first out. */
struct queue {
  double *at;
  size_t first, end, capacity;
};

static struct {
  const char *bytes;
  size_t length;
  double weight, owed;
} messages[MESSAGES_MAX];
static int message_count;
static int cycle[MESSAGES_MAX];
static int cycle_length;

static struct connection *connections;
static struct connection **idle;
static size_t idle_count;
static struct queue waiting;
static struct figures latencies, lateness;
static double rate, measure_from, measure_until;
static size_t sent, requests_max, errors, answered_count;
static char first_error[600];

static double now_ms(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1e3 + at.tv_nsec / 1e6;
}

static void die(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, errno ? strerror(errno) : "no");
  ERR_print_errors_fp(stderr);
  exit(1);
}

static void note(struct figures *figures, double ms) {
  if (figures->count == figures->capacity) {
    figures->capacity = figures->capacity ? figures->capacity * 2 : 1 << 16;
    figures->at = realloc(figures->at, figures->capacity * sizeof(float));
    if (figures->at == NULL) die("memory");
  }
  figures->at[figures->count++] = ms;
}

static void enqueue(double due) {
  if (waiting.end == waiting.capacity) {
    size_t held = waiting.end - waiting.first;
    if (waiting.first < waiting.capacity / 2 || waiting.capacity == 0) {
      waiting.capacity = waiting.capacity ? waiting.capacity * 2 : 1 << 16;
      waiting.at = realloc(waiting.at, waiting.capacity * sizeof(double));
      if (waiting.at == NULL) die("memory");
    }
    memmove(waiting.at, waiting.at + waiting.first, held * sizeof(double));
    waiting.first = 0;
    waiting.end = held;
  }
  waiting.at[waiting.end++] = due;
}

static void failed(const char *what, size_t length) {
  if (errors++ == 0) snprintf(first_error, sizeof first_error, "%.*s", (int)(length < 500 ? length : 500), what);
}

static void write_unsent(struct connection *of) {
  while (of->unsent_length > 0) {
    ssize_t written = of->ssl != NULL ? SSL_write(of->ssl, of->unsent, (int)of->unsent_length)
                                      : send(of->fd, of->unsent, of->unsent_length, MSG_NOSIGNAL);
    if (written <= 0) {
      if (of->ssl == NULL && errno != EAGAIN) failed("a request could not be sent", 27);
      return;
    }
    of->unsent += written;
    of->unsent_length -= written;
  }
}

static void ask(struct connection *of, double due) {
  int message = cycle[sent++ % cycle_length];
  of->due = due;
  of->in_flight = 1;
  of->unsent = messages[message].bytes;
  of->unsent_length = messages[message].length;
  write_unsent(of);
}

static void record(double due, double at) {
  if (due >= measure_from && due <= measure_until) note(&latencies, at - due);
}

static void answered(struct connection *of) {
  double at = now_ms();
  record(of->due, at);
  if (at >= measure_from && at <= measure_until) answered_count++;
  of->in_flight = 0;
  if (requests_max > 0 && sent >= requests_max) return;
  if (rate == 0) {
    if (at < measure_until) ask(of, at);
  } else if (waiting.first < waiting.end) {
    ask(of, waiting.at[waiting.first++]);
  } else {
    idle[idle_count++] = of;
  }
}

/* The length of the whole answer; 0 while its head is not there. */
static size_t length_of_answer(const struct connection *of) {
  const char *end = memmem(of->received, of->received_length, "\r\n\r\n", 4);
  if (end == NULL) return 0;
  size_t head = end - of->received + 4;
  for (const char *line = of->received; line < end;) {
    if (strncasecmp(line, "content-length:", 15) == 0) return head + strtoul(line + 15, NULL, 10);
    const char *next = memchr(line, '\n', end - line);
    if (next == NULL) break;
    line = next + 1;
  }
  return head;
}

static void read_answers(struct connection *of) {
  for (;;) {
    if (of->received_length == of->capacity) {
      if (of->capacity >= RECEIVE_BYTES) die("an answer is too long");
      of->capacity *= 2;
      of->received = realloc(of->received, of->capacity);
      if (of->received == NULL) die("memory");
    }
    size_t room = of->capacity - of->received_length;
    ssize_t got = of->ssl != NULL ? SSL_read(of->ssl, of->received + of->received_length, (int)room)
                                  : recv(of->fd, of->received + of->received_length, room, 0);
    if (got <= 0) {
      int waits = of->ssl != NULL ? SSL_get_error(of->ssl, (int)got) == SSL_ERROR_WANT_READ : got < 0 && errno == EAGAIN;
      if (waits) return;
      if (now_ms() < measure_until) failed("a connection was closed", 23);
      close(of->fd);
      return;
    }
    of->received_length += got;
    size_t length;
    while (of->in_flight && (length = length_of_answer(of)) > 0 && of->received_length >= length) {
      if (of->received[9] != '2') failed(of->received, of->received_length);
      memmove(of->received, of->received + length, of->received_length - length);
      of->received_length -= length;
      answered(of);
    }
    if (of->ssl == NULL && (size_t)got < room) return;
  }
}

static void spread_weights(void) {
  double total = 0;
  for (int index = 0; index < message_count; index++) total += messages[index].weight;
  cycle_length = message_count < CYCLE_MIN ? CYCLE_MIN : message_count;
  for (int place = 0; place < cycle_length; place++) {
    int next = 0;
    for (int index = 0; index < message_count; index++) {
      messages[index].owed += messages[index].weight / total;
      if (messages[index].owed > messages[next].owed) next = index;
    }
    messages[next].owed -= 1;
    cycle[place] = next;
  }
}

static void add_message(const char *weight, const char *file) {
  FILE *from = fopen(file, "r");
  if (from == NULL) die(file);
  if (message_count == MESSAGES_MAX) die("more messages than this takes");
  fseek(from, 0, SEEK_END);
  size_t length = ftell(from);
  rewind(from);
  char *bytes = malloc(length + 1);
  if (bytes == NULL || fread(bytes, 1, length, from) != length) die(file);
  fclose(from);
  messages[message_count].bytes = bytes;
  messages[message_count].length = length;
  messages[message_count++].weight = atof(weight);
}

static void open_connection(struct connection *of, const char *path, int port, SSL_CTX *tls, const char *name) {
  struct sockaddr_un local = {.sun_family = AF_UNIX};
  struct sockaddr_in remote = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (path != NULL) snprintf(local.sun_path, sizeof local.sun_path, "%s", path);
  of->fd = socket(path != NULL ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int connected = path != NULL ? connect(of->fd, (struct sockaddr *)&local, sizeof local)
                               : connect(of->fd, (struct sockaddr *)&remote, sizeof remote);
  if (connected != 0) die("connect");
  int on = 1;
  setsockopt(of->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (tls != NULL) {
    of->ssl = SSL_new(tls);
    if (name != NULL) SSL_set_tlsext_host_name(of->ssl, name);
    SSL_set_fd(of->ssl, of->fd);
    if (SSL_connect(of->ssl) != 1) die("the TLS handshake");
  }
  fcntl(of->fd, F_SETFL, O_NONBLOCK);
  of->capacity = 16384;
  of->received = malloc(of->capacity);
}

static int ascending(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

static double quantile(struct figures *of, double share) {
  if (of->count == 0) return 0;
  size_t place = of->count * share;
  return of->at[place < of->count ? place : of->count - 1];
}

static double cpu_seconds(const struct rusage *of) {
  return of->ru_utime.tv_sec + of->ru_stime.tv_sec + (of->ru_utime.tv_usec + of->ru_stime.tv_usec) / 1e6;
}

static void print_escaped(const char *text) {
  for (; *text; text++) {
    unsigned char letter = *text;
    if (letter == '"' || letter == '\\') printf("\\%c", letter);
    else if (letter < 0x20 || letter > 0x7e) printf("\\u%04x", letter);
    else putchar(letter);
  }
}

int main(int count, char **arguments) {
  const char *path = NULL, *ca = NULL, *certificate = NULL, *key = NULL, *name = NULL;
  int port = 0, connection_count = 1;
  double seconds = 1, warm_up = 0;
  for (int index = 1; index < count; index++) {
    const char *option = arguments[index];
    const char *value = index + 1 < count ? arguments[++index] : "";
    if (!strcmp(option, "--port")) port = atoi(value);
    else if (!strcmp(option, "--unix")) path = value;
    else if (!strcmp(option, "--ca")) ca = value;
    else if (!strcmp(option, "--cert")) certificate = value;
    else if (!strcmp(option, "--key")) key = value;
    else if (!strcmp(option, "--name")) name = value;
    else if (!strcmp(option, "--connections")) connection_count = atoi(value);
    else if (!strcmp(option, "--seconds")) seconds = atof(value);
    else if (!strcmp(option, "--warm-up")) warm_up = atof(value);
    else if (!strcmp(option, "--rate")) rate = atof(value);
    else if (!strcmp(option, "--requests")) requests_max = strtoul(value, NULL, 10);
    else if (!strcmp(option, "--message") && index + 1 < count) add_message(value, arguments[++index]);
    else {
      fprintf(stderr, "load: unknown option %s\n", option);
      return 2;
    }
  }
  spread_weights();
  SSL_CTX *tls = NULL;
  if (ca != NULL) {
    tls = SSL_CTX_new(TLS_client_method());
    if (SSL_CTX_load_verify_locations(tls, ca, NULL) != 1) die(ca);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (certificate != NULL && SSL_CTX_use_certificate_chain_file(tls, certificate) != 1) die(certificate);
    if (key != NULL && SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1) die(key);
  }
  int poll = epoll_create1(EPOLL_CLOEXEC);
  connections = calloc(connection_count, sizeof *connections);
  idle = calloc(connection_count, sizeof *idle);
  for (int index = 0; index < connection_count; index++) {
    open_connection(&connections[index], path, port, tls, name);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[index]};
    epoll_ctl(poll, EPOLL_CTL_ADD, connections[index].fd, &event);
    idle[idle_count++] = &connections[index];
  }
  /* A sleep ends when it should, to a microsecond. */
  prctl(PR_SET_TIMERSLACK, 1000);
  /* Handshakes are not what is measured: the clock starts now. */
  double next_due = now_ms(), step = rate > 0 ? 1e3 / rate : 0;
  measure_from = next_due + warm_up * 1e3;
  measure_until = measure_from + seconds * 1e3;
  struct rusage before, after;
  getrusage(RUSAGE_SELF, &before);
  if (rate == 0) {
    idle_count = 0;
    for (int index = 0; index < connection_count; index++) ask(&connections[index], next_due);
  }
  int is_measuring = 0;
  for (;;) {
    double at = now_ms();
    if (!is_measuring && at >= measure_from) {
      is_measuring = 1;
      getrusage(RUSAGE_SELF, &before);
    }
    if (at >= measure_until) break;
    if (requests_max > 0 && sent >= requests_max) {
      int in_flight = 0;
      for (int index = 0; index < connection_count; index++) in_flight += connections[index].in_flight;
      if (in_flight == 0) break;
    }
    struct timespec wait = {.tv_nsec = 50000000};
    if (rate > 0) {
      for (; next_due <= at && !(requests_max > 0 && sent >= requests_max); next_due += step) {
        if (next_due >= measure_from) note(&lateness, at - next_due);
        if (idle_count > 0) ask(idle[--idle_count], next_due);
        else enqueue(next_due);
      }
      at = now_ms();
      wait.tv_nsec = next_due > at ? (next_due - at) * 1e6 : 0;
      if (wait.tv_nsec > 50000000) wait.tv_nsec = 50000000;
    }
    struct epoll_event events[256];
    int ready = epoll_pwait2(poll, events, 256, &wait, NULL);
    for (int index = 0; index < ready; index++) {
      struct connection *of = events[index].data.ptr;
      if (of->unsent_length > 0) write_unsent(of);
      read_answers(of);
    }
  }
  getrusage(RUSAGE_SELF, &after);
  double took = now_ms() - measure_from;
  /* What is still owed counts with the time that it has waited: leaving it out would be the omission. */
  if (requests_max == 0) {
    for (size_t index = waiting.first; index < waiting.end; index++) record(waiting.at[index], measure_until);
    for (int index = 0; rate > 0 && index < connection_count; index++)
      if (connections[index].in_flight) record(connections[index].due, measure_until);
  }
  qsort(latencies.at, latencies.count, sizeof(float), ascending);
  qsort(lateness.at, lateness.count, sizeof(float), ascending);
  double window = requests_max > 0 ? took / 1e3 : seconds;
  printf("{\"requestsPerSecond\":%.2f,\"requests\":%zu,\"errors\":%zu,", answered_count / window, answered_count, errors);
  printf("\"latencyMs\":{\"p50\":%.4f,\"p99\":%.4f,\"p999\":%.4f,\"max\":%.4f},", quantile(&latencies, .5),
         quantile(&latencies, .99), quantile(&latencies, .999), quantile(&latencies, 1));
  printf("\"lateMs\":{\"p99\":%.4f,\"p999\":%.4f},\"clientCores\":%.4f", quantile(&lateness, .99),
         quantile(&lateness, .999), (cpu_seconds(&after) - cpu_seconds(&before)) / window);
  if (errors > 0) {
    printf(",\"firstError\":\"");
    print_escaped(first_error);
    printf("\"");
  }
  printf("}\n");
  return 0;
}
