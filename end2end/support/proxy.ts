import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';

/** Path of session checks. */
export const CHECK = '/api/v1/session_state';

/** Path of the event stream. */
export const STREAM = '/api/v1/session/events';

/** All paths. */
export const EVERYTHING = '/';

/** What replaces a response: one of the proxy's own, a closed connection, or none until it is released. */
export type Fault = { status: number; type: string; body: string } | 'cut' | 'hang';

const page = '<!doctype html><title>Gateway</title><h1>Please log in to the hotel network</h1>';

export const ERROR_500: Fault = { status: 500, type: 'text/plain', body: 'Internal Server Error' };
export const PAGE_503: Fault = { status: 503, type: 'text/html', body: page };
export const PAGE_200: Fault = { status: 200, type: 'text/html', body: page };

/** A proxy between browsers and server. Counts requests and simulates bad networks and proxies. */
export class Proxy {
  /** Open streams. */
  openStreams = 0;
  /** Other requests without a response yet. */
  unanswered = 0;
  private readonly faults = new Map<string, Fault>();
  private readonly came: string[] = [];
  private readonly sockets = new Set<net.Socket>();
  private held: { path: string; goes: () => void }[] = [];
  private readonly streams = new Set<{ from: http.IncomingMessage; to: http.ServerResponse }>();
  private isCutOff = false;

  private constructor(
    readonly url: string,
    private readonly target: URL,
    private readonly listener: http.Server,
  ) {
    listener.on('request', (request, response) => this.receives(request, response));
    listener.on('connection', socket => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
      socket.on('error', () => {});
      if (this.isCutOff) {
        socket.destroy();
      }
    });
  }

  static async before(target: string): Promise<Proxy> {
    const listener = http.createServer().listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const { port } = listener.address() as net.AddressInfo;
    return new Proxy(`http://127.0.0.1:${port}`, new URL(target), listener);
  }

  async stop() {
    this.listener.close();
    this.listener.closeAllConnections();
  }

  /** Applies a fault to requests for paths with this prefix, or `pass` to forward them again. */
  set(path: string, fault: Fault | 'pass') {
    this.faults.delete(path);
    if (fault !== 'pass') {
      this.faults.set(path, fault);
    }
  }

  /** Closes the open streams. */
  breakStreams() {
    this.streams.forEach(({ to }) => to.destroy());
  }

  /** Drops data of the open streams from now on, without closing them. */
  silenceStreams() {
    this.streams.forEach(({ from, to }) => from.unpipe(to).resume());
  }

  /** Sends a heartbeat on all streams, as the server does every 15 seconds. */
  beat() {
    this.streams.forEach(({ to }) => to.write('event: heartbeat\ndata: {}\n\n'));
  }

  /** Closes every connection and refuses new ones until `reconnect`. */
  cutOff() {
    this.isCutOff = true;
    this.sockets.forEach(socket => socket.destroy());
  }

  reconnect() {
    this.isCutOff = false;
  }

  /** Counts the requests for paths with this prefix. */
  count(path: string): number {
    return this.came.filter(one => one.startsWith(path)).length;
  }

  /** Counts how many of them hang. */
  hanging(path: string): number {
    return this.held.filter(one => one.path.startsWith(path)).length;
  }

  /** Forwards hanging requests to the server. */
  release(path: string) {
    const goes = this.held.filter(one => one.path.startsWith(path));
    this.held = this.held.filter(one => !goes.includes(one));
    goes.forEach(one => one.goes());
  }

  private receives(request: http.IncomingMessage, response: http.ServerResponse) {
    const path = request.url!;
    this.came.push(path);
    if (!path.startsWith(STREAM)) {
      this.unanswered += 1;
      response.on('close', () => (this.unanswered -= 1));
    }
    const [, fault] = [...this.faults].reverse().find(([prefix]) => path.startsWith(prefix)) ?? [];
    if (!fault) {
      this.forward(request, response);
    } else if (fault === 'cut') {
      request.socket.destroy();
    } else if (fault === 'hang') {
      const one = { path, goes: () => this.forward(request, response) };
      this.held.push(one);
      response.on('close', () => (this.held = this.held.filter(other => other !== one)));
    } else {
      request.resume();
      response.writeHead(fault.status, { 'content-type': fault.type }).end(fault.body);
    }
  }

  private forward(request: http.IncomingMessage, response: http.ServerResponse) {
    const { hostname, port } = this.target;
    const { method, url: path, headers } = request;
    const onward = http.request({ hostname, port, method, path, headers, agent: false });
    onward.on('response', answer => {
      response.writeHead(answer.statusCode!, answer.rawHeaders);
      response.flushHeaders();
      answer.pipe(response);
      // A partial response does not count.
      answer.on('error', () => response.destroy());
      if (path!.startsWith(STREAM) && answer.statusCode === 200) {
        this.openStreams += 1;
        const stream = { from: answer, to: response };
        this.streams.add(stream);
        response.on('close', () => {
          this.openStreams -= 1;
          this.streams.delete(stream);
        });
      }
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  }
}
