// The form, read by Node's own reader of forms (that of `fetch`). Paperless-ngx has no client.
import assert from 'node:assert/strict';
import { isComplete, only } from './compare.mjs';

export default () => {
  const pdf = Buffer.concat([Buffer.from('%PDF-1.7\r\n--rowhook\r\n'), Buffer.from(Array.from({ length: 256 }, (_, n) => n))]);
  return {
    host: 'paperless.internal',
    statements: [[
      "INSERT INTO shop.invoices (id, number, customer, issued_on, pdf) VALUES (5, '2026-117', ?, '2026-11-20', UNHEX(?))",
      ['Ada "Ü" & Söhne', pdf.toString('hex')],
    ]],
    isComplete: isComplete(1),
    answer: () => ({ json: '5f0bd9a4-7b2e-4f1d-9c2a-0c3d4e5f6a7b' }),
    judge: async (requests) => {
      const { method, url, headers, body } = only(requests);
      assert.deepEqual([method, url], ['POST', '/api/documents/post_document/']);
      assert.equal(headers.authorization, `Token ${process.env.PAPERLESS_TOKEN}`);
      assert.equal(headers.accept, 'application/json; version=9');
      const form = await new Response(body, { headers: { 'Content-Type': headers['content-type'] } }).formData();
      const file = form.get('document');
      assert.deepEqual([file.name, file.type, Buffer.from(await file.arrayBuffer())], ['2026-117.pdf', 'application/pdf', pdf]);
      form.delete('document');
      assert.deepEqual([...form], [
        ['title', 'Invoice 2026-117, Ada "Ü" & Söhne'], ['created', '2026-11-20'], ['tags', '3'], ['tags', '7'],
      ]);
    },
  };
};
