// Circles in a graph: its strongly connected components, by Tarjan.

/** `edges` maps each node to those that it leads to. Circles of one node are left out; the largest comes first. */
export function circles(edges) {
  const order = new Map();
  const lowest = new Map();
  const stack = [];
  const found = [];
  const visit = (node) => {
    order.set(node, order.size);
    lowest.set(node, order.get(node));
    stack.push(node);
    for (const next of edges.get(node) ?? []) {
      if (!order.has(next)) visit(next);
      if (stack.includes(next)) lowest.set(node, Math.min(lowest.get(node), lowest.get(next)));
    }
    if (lowest.get(node) !== order.get(node)) return;
    const circle = stack.splice(stack.indexOf(node));
    if (circle.length > 1) found.push(circle.sort());
  };
  for (const node of edges.keys()) {
    if (!order.has(node)) visit(node);
  }
  return found.sort((a, b) => b.length - a.length);
}
