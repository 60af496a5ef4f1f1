// A SOAP server by a WSDL reads what rowhook sends and what the client of the same library sends for the same order.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Readable } from 'node:stream';
import { isComplete, mediaType, only } from './compare.mjs';

const PATH = '/services/OrderService';
const element = (name, type, more = '') => `<xsd:element name="${name}" type="${type}" ${more}/>`;
const WSDL = `<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
  xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:o="urn:erp:orders" targetNamespace="urn:erp:orders">
  <types><xsd:schema targetNamespace="urn:erp:orders" elementFormDefault="qualified">
    <xsd:element name="createOrder"><xsd:complexType><xsd:sequence>
      ${element('externalId', 'xsd:string')} ${element('customer', 'xsd:long')}
      <xsd:element name="total"><xsd:complexType><xsd:simpleContent><xsd:extension base="xsd:decimal">
        <xsd:attribute name="currency" type="xsd:string"/></xsd:extension></xsd:simpleContent></xsd:complexType></xsd:element>
      ${element('orderedAt', 'xsd:dateTime')} ${element('note', 'xsd:string', 'minOccurs="0"')}
    </xsd:sequence></xsd:complexType></xsd:element>
    <xsd:element name="createOrderResponse"><xsd:complexType><xsd:sequence>${element('number', 'xsd:string')}</xsd:sequence></xsd:complexType></xsd:element>
  </xsd:schema></types>
  <message name="createOrderIn"><part name="parameters" element="o:createOrder"/></message>
  <message name="createOrderOut"><part name="parameters" element="o:createOrderResponse"/></message>
  <portType name="Orders"><operation name="createOrder"><input message="o:createOrderIn"/><output message="o:createOrderOut"/></operation></portType>
  <binding name="OrdersSoap" type="o:Orders"><soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
    <operation name="createOrder"><soap:operation soapAction="urn:erp:orders:createOrder"/>
      <input><soap:body use="literal"/></input><output><soap:body use="literal"/></output></operation></binding>
  <service name="OrderService"><port name="OrderPort" binding="o:OrdersSoap"><soap:address location="https://erp.internal${PATH}"/></port></service>
</definitions>`;

export default ({ require, home, record, orders }) => {
  const { BasicAuthSecurity, createClientAsync, listen } = require('soap');
  const path = `${home}/orders.wsdl`;
  writeFileSync(path, WSDL);
  const read = [];
  const fault = (code, text) => ({ Fault: { faultcode: `soap:${code}`, faultstring: text, statusCode: 500 } });
  const createOrder = (order) => {
    read.push(order);
    const times = read.filter(({ externalId }) => externalId === order.externalId).length;
    if (order.externalId === '42' && times === 1) throw fault('Server', 'locked');
    if (order.externalId === '43') throw fault('Client', 'DUPLICATE_EXTERNAL_ID');
    return { number: `ERP-${order.externalId}` };
  };
  const server = createServer();
  listen(server, { path: PATH, xml: WSDL, services: { OrderService: { OrderPort: { createOrder } } } });
  return {
    host: 'erp.internal',
    isComplete: isComplete(3),
    answer: (request) => served(server, request),
    judge: async (requests) => {
      const ours = read.splice(0);
      assert.deepEqual(requests.map(({ url, method }) => `${method} ${url}`), Array(3).fill(`POST ${PATH}`));
      const theirs = [];
      for (const row of [orders.large, orders.large, orders.small]) {
        // Winter and summer in Berlin.
        const orderedAt = `${row.created_at.replace(' ', 'T')}${row === orders.large ? '+01:00' : '+02:00'}`;
        const order = {
          externalId: row.id, customer: row.customer_id, total: { attributes: { currency: row.currency.toUpperCase() }, $value: row.total },
          orderedAt, ...(row.note === null ? {} : { note: row.note }),
        };
        theirs.push(only(await record(async (url) => {
          const client = await createClientAsync(path, { endpoint: `${url}${PATH}` });
          client.setSecurity(new BasicAuthSecurity('rowhook', process.env.ERP_PASSWORD));
          await client.createOrderAsync(order);
        }, { headers: { 'Content-Type': 'text/xml' }, text: ANSWER })));
      }
      for (const request of theirs) await served(server, request);
      const byId = (all) => [...all].sort((one, other) => one.externalId - other.externalId);
      assert.deepEqual(byId(ours), byId(read));
      assert.equal(ours[0].orderedAt instanceof Date, true);
      const seen = ({ headers }) => [mediaType(headers), headers.soapaction, headers.authorization];
      assert.deepEqual(requests.map(seen), theirs.map(seen));
    },
  };
};

const ANSWER = '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><o:createOrderResponse xmlns:o="urn:erp:orders">'
  + '<o:number>1</o:number></o:createOrderResponse></s:Body></s:Envelope>';

/// What the library's server answers to a request that was read whole.
function served(server, { method, url, headers, body }) {
  return new Promise((resolve) => {
    const answer = { status: 200, headers: {}, text: '' };
    const response = {
      setHeader: (name, value) => { answer.headers[name] = value; },
      write: (text) => { answer.text += text; return true; },
      end: (text = '') => { answer.text += text; resolve({ ...answer, status: response.statusCode }); },
      statusCode: 200,
    };
    server.emit('request', Object.assign(Readable.from([body]), { method, url, headers }), response);
  });
}
