// The same call of Twilio's client.
import { isComplete, only, readers, same } from './compare.mjs';

const answer = { status: 201, json: { sid: 'MESSAGE_SID', status: 'queued' } };

export default ({ require, record, orders }) => {
  const twilio = require('twilio');
  return {
    host: 'api.twilio.com',
    isComplete: isComplete(1),
    answer: () => answer,
    judge: async (requests) => {
      const theirs = await record(async (url) => {
        const sender = new twilio.RequestClient();
        const httpClient = {
          request: (options) => sender.request({ ...options, uri: options.uri.replace('https://api.twilio.com', url) }),
        };
        const { TWILIO_API_KEY: key, TWILIO_API_SECRET: secret } = process.env;
        const client = twilio(key, secret, { accountSid: 'ACCOUNT_SID', httpClient });
        await client.messages.create({
          to: orders.large.phone,
          messagingServiceSid: 'MESSAGING_SERVICE_SID',
          body: 'Your order 42 is on its way.',
          validityPeriod: 3600,
        });
      }, answer);
      same(only(requests), only(theirs), readers.form);
    },
  };
};
