#!/usr/bin/env python3
"""Makes the recordings of this folder: real sockets, and a real observer that records them.

Needs root. Run it as `unshare --net python3 examples/record.py OBSERVER [NAME…]`, with the path of the observer's binary.
Everything happens in that network namespace and in one more behind a veth pair.
"""

import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time

OBSERVER = os.path.abspath(sys.argv[1])
HERE = os.path.dirname(os.path.abspath(__file__))
DEADLINE = 20
PORTS = iter(range(8080, 8200))


def run(*words):
    subprocess.run(words, check=True)


def named(name):
    """Gives this process the name that the verdict shows."""
    with open("/proc/self/comm", "w") as comm:
        comm.write(name)


def child(name, work):
    """Runs `work` in a process of its own."""
    pid = os.fork()
    if pid == 0:
        named(name)
        try:
            work()
        finally:
            os._exit(0)
    return pid


def until(condition):
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the example did not come to its end")
        time.sleep(0.01)


def pair(address="127.0.0.1"):
    """A listener and both ends of one connection."""
    listener = socket.create_server((address, next(PORTS)))
    client = socket.create_connection(listener.getsockname())
    server, _ = listener.accept()
    return listener, client, server


def info(sock, offset):
    """One byte of struct tcp_info; offset 0 is the state."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[offset]


CLOSE_WAIT = 8


def closed_first():
    """The everyday end: the client closes first, the server follows."""
    _listener, client, server = pair()
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    server.recv(100)
    client.close()
    # The FIN is acknowledged by itself, and not by the server's own FIN.
    time.sleep(0.2)
    server.close()


def write_after_peer_fin():
    """A pooled connection that the server had closed, and a request written into it."""
    _listener, client, server = pair()
    server.close()
    until(lambda: info(client, 0) == CLOSE_WAIT)
    time.sleep(0.5)
    client.sendall(b"GET /orders HTTP/1.1\r\n\r\n")
    until(lambda: client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    try:
        client.sendall(b"GET /orders HTTP/1.1\r\n\r\n")
    except BrokenPipeError:
        pass
    client.close()


def unread_data():
    """A server that closes without reading the whole request."""
    _listener, client, server = pair()
    client.sendall(b"POST /upload HTTP/1.1\r\n\r\n" + b"x" * 5000)
    server.recv(25)
    until(lambda: select.select([server], [], [], 0)[0])
    server.close()
    try:
        client.recv(1)
    except ConnectionResetError:
        pass
    client.close()


def linger_zero():
    """SO_LINGER {on, 0}: close() resets and throws the queued data away."""
    _listener, client, server = pair()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sendall(b"last words")
    client.close()
    try:
        server.recv(100)
        server.recv(100)
    except ConnectionResetError:
        pass
    server.close()


def killed():
    """A worker that is killed while its client still sends."""
    listener = socket.create_server(("127.0.0.1", next(PORTS)))

    def work():
        server, _ = listener.accept()
        server.sendall(b"hello")
        time.sleep(DEADLINE)

    worker = child("worker", work)
    client = socket.create_connection(listener.getsockname())
    listener.close()
    client.recv(100)
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
    until(lambda: info(client, 0) == CLOSE_WAIT)
    client.sendall(b"are you there?")
    until(lambda: client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    client.close()


def refused():
    """Nothing listens on the port."""
    try:
        socket.create_connection(("127.0.0.1", next(PORTS)))
    except ConnectionRefusedError:
        pass


def connect_timeout():
    """The accept queue is full, so the SYN stays unanswered."""
    with open("/proc/sys/net/ipv4/tcp_syn_retries", "w") as retries:
        retries.write("1")
    listener = socket.socket()
    listener.bind(("127.0.0.1", next(PORTS)))
    listener.listen(0)
    waiting = socket.create_connection(listener.getsockname())
    try:
        socket.create_connection(listener.getsockname())
    except TimeoutError:
        pass
    waiting.close()
    listener.close()


def never_accepted():
    """A server stops with a connection in its accept queue."""
    listener = socket.create_server(("127.0.0.1", next(PORTS)))
    client = socket.create_connection(listener.getsockname())
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    time.sleep(0.1)
    listener.close()
    try:
        client.recv(1)
    except ConnectionResetError:
        pass
    client.close()


SERVER = """
import socket, sys, time
listener = socket.create_server(("192.0.2.2", int(sys.argv[1])))
print("ready", flush=True)
accepted = listener.accept()
time.sleep(60)
"""


def behind_the_wire():
    """A connection to the namespace behind a veth pair, and the ways to unplug and to end it."""
    holder = subprocess.Popen(["unshare", "--net", "sleep", "60"])
    until(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
    inside = ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]
    port = str(next(PORTS))
    near, far = f"near{os.getpid()}", f"far{os.getpid()}"
    run("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", str(holder.pid))
    run("ip", "address", "add", "192.0.2.1/24", "dev", near)
    run("ip", "link", "set", near, "up")
    run(*inside, "ip", "address", "add", "192.0.2.2/24", "dev", far)
    run(*inside, "ip", "link", "set", far, "up")
    server = subprocess.Popen([*inside, sys.executable, "-c", SERVER, port], stdout=subprocess.PIPE)
    server.stdout.readline()
    client = socket.create_connection(("192.0.2.2", int(port)))

    def unplug():
        # The host is still there for ARP a while, and drops what comes for an address that it does not have.
        run(*inside, "ip", "address", "delete", "192.0.2.2/24", "dev", far)

    def stop():
        for process in (server, holder):
            process.kill()
            process.wait()
        subprocess.run(["ip", "link", "delete", near], stderr=subprocess.DEVNULL, check=False)

    return client, unplug, stop


def retransmit_timeout():
    """The peer vanishes while data is on its way."""
    client, unplug, stop = behind_the_wire()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000)
    unplug()
    client.sendall(b"x" * 300)
    try:
        client.recv(1)
    except TimeoutError:
        pass
    client.close()
    stop()


def keepalive_timeout():
    """The peer vanishes while the connection is idle."""
    client, unplug, stop = behind_the_wire()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 2)):
        client.setsockopt(socket.IPPROTO_TCP, option, value)
    unplug()
    try:
        client.recv(1)
    except TimeoutError:
        pass
    client.close()
    stop()


EXAMPLES = [
    closed_first,
    write_after_peer_fin,
    unread_data,
    linger_zero,
    killed,
    refused,
    connect_timeout,
    never_accepted,
    retransmit_timeout,
    keepalive_timeout,
]


def record(example):
    path = os.path.join(HERE, example.__name__ + ".jsonl")
    observer = subprocess.Popen(
        [OBSERVER, "trace", "--record", path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while "ready" not in (line := observer.stderr.readline()):
        if not line:
            sys.exit("the observer ended before it was ready")
    pid = child("app", example)
    _, status = os.waitpid(pid, 0)
    # Stories of sockets that late data may still reset are complete after a moment.
    time.sleep(0.5)
    observer.send_signal(signal.SIGINT)
    observer.wait()
    if status:
        sys.exit(f"{example.__name__} failed")
    print(f"{example.__name__}: {example.__doc__}")


if __name__ == "__main__":
    run("ip", "link", "set", "lo", "up")
    wanted = sys.argv[2:]
    for one in EXAMPLES:
        if not wanted or one.__name__ in wanted:
            record(one)
