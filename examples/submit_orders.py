from workers.producer import OrderProducer

order = {
    "order_id": "SHOP-2026-000123", "customer_id": "C-4711", "currency": "EUR", "shipping": 490, "total": 3080,
    "lines": [{"sku": "TEA-500", "name": "Tea, 500 g", "quantity": 2, "amount": 2590}],
    "ship_to": {"name": "Ada Byron", "street": "12 St James's Square", "city": "London", "country": "GB"},
    "payment": {"token": "tok_1NvX"},
}  # fmt: skip
with OrderProducer.connect() as producer:
    print(producer.submit(order))
