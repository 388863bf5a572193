// node node_server.js PORT KIND: plain | block | work | cluster | straggler
const http = require('http'), cluster = require('cluster');
const [port, kind] = [Number(process.argv[2]), process.argv[3]];
const spin = ms => { const end = process.cpuUsage().user + process.cpuUsage().system + ms * 1000;
  for (;;) { const u = process.cpuUsage(); if (u.user + u.system >= end) return; } };
let served = 0;
function serve(slow) {
  http.createServer((request, response) => {
    served++;
    if (kind === 'block' && served % 60 === 0) spin(300);
    if (kind === 'work') spin(3);
    if (slow) spin(12);
    response.setHeader('Content-Length', 2);
    response.end('ok');
  }).listen(port, '127.0.0.1');
}
if (['cluster', 'straggler'].includes(kind) && cluster.isPrimary) {
  for (let index = 0; index < 3; index++) cluster.fork({SLOW: kind === 'straggler' && index === 1 ? '1' : ''});
} else serve(process.env.SLOW === '1');
