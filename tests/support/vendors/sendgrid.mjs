// The same mail of SendGrid's client.
import { isComplete, only, readers, same } from './compare.mjs';

export default ({ require, record, orders }) => {
  const mail = require('@sendgrid/mail');
  const answer = { status: 202, text: '' };
  return {
    host: 'api.sendgrid.com',
    isComplete: isComplete(1),
    answer: () => answer,
    judge: async (requests) => {
      const ours = only(requests);
      const { paid_at: paidAt } = readers.json(ours.body).personalizations[0].dynamic_template_data;
      const theirs = await record(async (url) => {
        mail.setApiKey(process.env.SENDGRID_API_KEY);
        mail.client.setDefaultRequest('baseUrl', `${url}/`);
        await mail.send({
          from: { email: 'receipts@shop.example', name: 'Example Shop' },
          templateId: 'd-0123456789abcdef0123456789abcdef',
          personalizations: [{
            to: [{ email: orders.large.email, name: 'Ada  Lovelace  "née" Byron' }],
            dynamicTemplateData: { order: 42, total: '1250.10', currency: 'EUR', paid_at: paidAt },
            customArgs: { order_id: '42' },
          }],
        });
      }, answer);
      same(ours, only(theirs), readers.json);
    },
  };
};
