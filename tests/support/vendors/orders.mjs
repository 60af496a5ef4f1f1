// The rows of shop.orders, which several jobs send, and the statements that write them: [statement, values].
export const orders = {
  large: {
    id: 42, customer_id: 7, total: '1250.10', currency: 'eur', email: 'ada+tea@shop.example', phone: '+4915112345678',
    name: 'Ada; Lovelace, "née" Byron', note: 'Tom & <Jerry> ]]> "ü" <!channel> 🎉', created_at: '2026-11-20 11:00:00',
  },
  small: {
    id: 43, customer_id: 8, total: '999.99', currency: 'usd', email: null, phone: null, name: null, note: null,
    created_at: '2026-07-20 11:00:00',
  },
};

const insert = 'INSERT INTO shop.orders (id, customer_id, status, total, currency, email, phone, name, note, created_at) '
  + 'VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)';
const values = (row, status) => [
  row.id, row.customer_id, status, row.total, row.currency, row.email, row.phone, row.name, row.note, row.created_at,
];

export const statements = [
  [insert, values(orders.large, 'new')],
  ["UPDATE shop.orders SET status = 'paid' WHERE id = 42", []],
  ["UPDATE shop.orders SET status = 'shipped' WHERE id = 42", []],
  [insert, values(orders.small, 'paid')],
  ['DELETE FROM shop.orders WHERE id = 43', []],
];
