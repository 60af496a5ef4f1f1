// main.mjs FOLDER HOME: the APIs of the cookbook, which judge what they get by the libraries of their vendors.
//
// In: FOLDER is what get-vendors.sh prints; HOME/cert.pem and HOME/key.pem are for all hosts of the cookbook's rules. $NODE_EXTRA_CA_CERTS
// names the authority, because some clients want HTTPS.
// Out, by lines of JSON: {port, statements}; {arrived: true} when all expected requests have arrived, or false after two minutes; after the
// end of the standard input, for each job {job, error}. A file beside this one is a job, see `jobs`.
import { createServer } from 'node:https';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { buffer } from 'node:stream/consumers';
import { orders, statements as ordered } from './orders.mjs';
import { recorder } from './compare.mjs';

const NAMES = [
  'cloudflare', 'elasticsearch', 'eventbridge', 'hubspot', 'lambda', 'meilisearch', 'opensearch', 'outbox', 'pagerduty', 'sendgrid',
  'shopify', 'slack', 'soap', 'stripe', 'twilio', 'upload',
];
const [, , folder, home] = process.argv;
const keys = { cert: readFileSync(`${home}/cert.pem`), key: readFileSync(`${home}/key.pem`) };
const require = createRequire(`${folder}/`);
const tools = { require, folder, home, record: recorder(keys), orders };

// A job: {host, statements, takes(request), isComplete(requests), answer(request), judge(requests)}. `takes` decides where two jobs have one
// host. `answer` gives {status, headers, json | text}. `judge` throws what it finds.
const jobs = {};
for (const name of NAMES) {
  const { default: job } = await import(`./${name}.mjs`);
  jobs[name] = { takes: () => true, statements: [], ...(await job(tools)), requests: [] };
}
const lost = [];
let isReported = false;

const server = createServer(keys, async (message, response) => {
  const { method, url, headers } = message;
  const request = { method, url, headers, host: headers.host, body: await buffer(message) };
  const job = Object.values(jobs).find((one) => one.host === request.host && one.takes(request));
  if (!job) {
    lost.push(`${method} ${request.host}${url}`);
    return response.writeHead(404).end();
  }
  job.requests.push(request);
  const { status = 200, headers: named = {}, json, text } = await job.answer(request, job.requests);
  const type = json === undefined ? {} : { 'Content-Type': 'application/json' };
  response.writeHead(status, { ...type, ...named }).end(json === undefined ? text : JSON.stringify(json));
  if (Object.values(jobs).every((one) => one.isComplete(one.requests))) report(true);
});

function report(arrived) {
  if (!isReported) print({ arrived });
  isReported = true;
}

function print(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function judge() {
  for (const [job, { requests, isComplete, judge: judgeAll }] of Object.entries(jobs)) {
    let error = null;
    try {
      if (!isComplete(requests)) throw new Error(`only ${requests.length} requests came`);
      await judgeAll(requests);
    } catch (thrown) {
      error = thrown.stack ?? String(thrown);
    }
    print({ job, error });
  }
  if (lost.length > 0) print({ job: 'none', error: `no job takes ${lost.join(', ')}` });
  process.exit(0);
}

server.listen(0, '127.0.0.1', () => {
  const statements = [...ordered, ...Object.values(jobs).flatMap((job) => job.statements)];
  print({ port: server.address().port, statements });
  setTimeout(() => report(false), 120_000);
});
process.stdin.resume().on('end', judge);
