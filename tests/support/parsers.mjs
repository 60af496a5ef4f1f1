// parsers.mjs FOLDER: an API that reads each body with the parser of a real framework, and says what it read.
//
// In: FOLDER/node_modules with busboy, qs and xmldom. Out: the port on the first line. What came for a path is read back with
// GET /read?path=/form&count=60, which answers when so many items are there. Ends with its standard input.
import { createRequire } from 'node:module';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';

const require = createRequire(`${process.argv[2]}/`);
const busboy = require('busboy');
const qs = require('qs');
const { DOMParser } = require('@xmldom/xmldom');

const read = {};
const waiting = [];

const parsers = {
  '/form': async (request) => [qs.parse(await text(request), { strictNullHandling: true, arrayLimit: 100 })],
  '/multipart': async (request) => [await parts(request)],
  '/xml': async (request) => [xml(await text(request))],
  '/lines': async (request) => {
    const lines = (await text(request)).trimEnd().split('\n').map((line) => JSON.parse(line));
    return lines.filter((_, n) => n % 2 === 1).map((body, n) => ({ line: lines[2 * n], body }));
  },
  // Node gives the bytes of a header as Latin-1.
  '/header': async (request) => {
    const value = Buffer.from(request.headers['x-value'], 'latin1').toString('utf8');
    return [{ ...JSON.parse(await text(request)), value }];
  },
};

function parts(request) {
  return new Promise((resolve, reject) => {
    const found = {};
    const bus = busboy({ headers: request.headers, preservePath: true, defParamCharset: 'utf8' });
    bus.on('field', (name, value) => { found[name] = value; });
    bus.on('file', (name, stream, { filename, mimeType }) => {
      const chunks = [];
      stream.on('data', (chunk) => chunks.push(chunk));
      stream.on('end', () => { found[name] = { filename, mimeType, hex: Buffer.concat(chunks).toString('hex') }; });
    });
    bus.on('close', () => resolve(found));
    bus.on('error', reject);
    request.pipe(bus);
  });
}

function xml(document) {
  const order = new DOMParser({ onError: (level, message) => { throw new Error(`${level}: ${message}`); } })
    .parseFromString(document, 'text/xml').documentElement;
  const child = (name) => order.getElementsByTagName(name)[0];
  return { id: order.getAttribute('id'), attribute: child('note').getAttribute('v'), text: child('note').textContent };
}

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost');
  if (pathname === '/read') {
    waiting.push({ path: searchParams.get('path'), count: Number(searchParams.get('count')), response });
    return answer();
  }
  try {
    (read[pathname] ??= []).push(...await parsers[pathname](request));
    response.end('{}');
  } catch (error) {
    response.writeHead(400).end(String(error));
  }
  answer();
});

function answer() {
  for (const { path, count, response } of waiting) {
    if ((read[path] ?? []).length >= count && !response.writableEnded) {
      response.setHeader('Content-Type', 'application/json').end(JSON.stringify(read[path]));
    }
  }
}

server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.resume().on('end', () => process.exit(0));
