/*
 * A server that does nothing: every whole request is answered with the same 204 bytes of body. What it takes is the floor of the
 * machine and of the load generator.
 *
 *     cc -O2 -o nothing nothing.c && nothing
 *
 * Prints `{"port":N}` and serves until it is ended.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY_BYTES 204

int main(void) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof at;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 512)) return perror("nothing"), 1;
  getsockname(listener, (struct sockaddr *)&at, &length);
  printf("{\"port\":%d}\n", ntohs(at.sin_port));
  fflush(stdout);
  char body[BODY_BYTES + 1], answer[512], request[65536];
  memset(body, 'x', BODY_BYTES);
  body[BODY_BYTES] = 0;
  const char *head = "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 204\r\n\r\n";
  int answer_length = snprintf(answer, sizeof answer, "%s%s", head, body);
  int poll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[128];
  epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    int ready = epoll_wait(poll, events, 128, -1);
    for (int index = 0; index < ready; index++) {
      int fd = events[index].data.fd;
      if (fd == listener) {
        int connection = accept(listener, NULL, NULL);
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct epoll_event its = {.events = EPOLLIN, .data.fd = connection};
        epoll_ctl(poll, EPOLL_CTL_ADD, connection, &its);
      } else if (read(fd, request, sizeof request) <= 0 || write(fd, answer, answer_length) < 0) {
        close(fd);
      }
    }
  }
}
