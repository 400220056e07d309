"""Runs a command in a terminal of its own: `terminal.py COLUMNS ROWS COMMAND…`. Each line of standard input is a word: `resize COLUMNS ROWS`, or
`type TEXT`. What the terminal shows goes to standard output; the exit code is the command's."""
import fcntl, os, pty, select, struct, sys, termios

columns, rows, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]


def resize(columns, rows):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


child, terminal = pty.fork()
if child == 0:
    os.execvp(command[0], command)
resize(columns, rows)
orders = b""
sources = [terminal, 0]
while True:
    ready, _, _ = select.select(sources, [], [])
    if 0 in ready:
        read = os.read(0, 4096)
        if not read:
            sources.remove(0)
        orders += read
        while b"\n" in orders:
            line, orders = orders.split(b"\n", 1)
            word, rest = line.split(b" ", 1)
            if word == b"resize":
                resize(*map(int, rest.split()))
            else:
                os.write(terminal, rest)
    if terminal in ready:
        try:
            shown = os.read(terminal, 65536)
        except OSError:
            break
        if not shown:
            break
        os.write(1, shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
