// Does the npm package etcd3 work against a cluster as its users use it?
//
// Run by hand, since the package comes from the network (docs/testing.md):
//   npm install etcd3 --prefix DIR && node tests/etcd/node_client.mjs DIR HOST:PORT,HOST:PORT,...
// Exits with 1 at the first thing that is wrong.
import assert from 'node:assert/strict';
import {createRequire} from 'node:module';
import {resolve} from 'node:path';
import {once} from 'node:events';

const [, , folder, endpoints] = process.argv;
if (!endpoints) {
  console.error('usage: node node_client.mjs DIR_WITH_NODE_MODULES HOST:PORT,...');
  process.exit(2);
}
const {Etcd3, EtcdLockFailedError} = createRequire(resolve(folder) + '/')('etcd3');
const client = new Etcd3({hosts: endpoints.split(',').map(each => `http://${each}`)});
const steps = {keys, transactions, leases, locks, watches, elections, memory, maintenance};

const deadline = setTimeout(() => {
  console.error('WRONG: not done after two minutes');
  process.exit(1);
}, 120_000);

function until(what, condition) {
  return new Promise((done, failed) => {
    const begin = Date.now();
    (async function look() {
      if (await condition()) return done();
      if (Date.now() - begin > 30_000) return failed(new Error(`waited in vain for ${what}`));
      setTimeout(look, 20);
    })().catch(failed);
  });
}

async function keys() {
  await client.put('node/a').value('1');
  await client.put('node/b').value(Buffer.from([0, 255]));
  await client.put('node/c').value('3');
  assert.equal(await client.get('node/a').string(), '1');
  assert.equal(await client.get('node/a').number(), 1);
  assert.deepEqual(await client.get('node/b').buffer(), Buffer.from([0, 255]));
  assert.equal(await client.get('node/none').string(), null);
  assert.equal(await client.get('node/a').exists(), true);
  const all = client.getAll().prefix('node/');
  assert.deepEqual(await all.keys(), ['node/a', 'node/b', 'node/c']);
  assert.equal(await all.count(), 3);
  const sorted = await client.getAll().prefix('node/').sort('Mod', 'Descend').limit(2).keys();
  assert.deepEqual(sorted, ['node/c', 'node/b']);
  const previous = await client.put('node/a').value('2').getPrevious();
  assert.equal(previous.value.toString(), '1');
  const old = await client.get('node/a').revision(previous.mod_revision).string();
  assert.equal(old, '1');
  await client.put('node/a').touch();
  const kv = (await client.get('node/a').exec()).kvs[0];
  assert.equal(kv.version, '3');
  assert.equal((await client.delete().key('node/c')).deleted, '1');
  assert.equal((await client.delete().prefix('node/')).deleted, '2');
  await assert.rejects(client.put('').value('x').exec(), /key is not provided/);
}

async function transactions() {
  const create = value => client.if('node/t', 'Create', '==', 0)
    .then(client.put('node/t').value(value))
    .else(client.get('node/t'))
    .commit();
  assert.equal((await create('first')).succeeded, true);
  const second = await create('second');
  assert.equal(second.succeeded, false);
  assert.equal(second.responses[0].response_range.kvs[0].value.toString(), 'first');
  const compared = await client.if('node/t', 'Value', '==', 'first')
    .and('node/t', 'Version', '>', 0)
    .and('node/t', 'Lease', '==', 0)
    .then(client.delete().key('node/t'))
    .commit();
  assert.equal(compared.succeeded, true);
  assert.equal(compared.responses[0].response_delete_range.deleted, '1');
}

async function leases() {
  const lease = client.lease(10);
  await lease.put('node/leased').value('x');
  const id = await lease.grant();
  assert.equal((await client.leaseClient.leaseTimeToLive({ID: id, keys: true})).grantedTTL, '10');
  const alive = once(lease, 'keepaliveSucceeded');
  await lease.keepaliveOnce();
  await alive;
  await lease.revoke();
  assert.equal(await client.get('node/leased').string(), null);
  const short = client.lease(2, {autoKeepAlive: false});
  await short.put('node/short').value('x');
  await until('a lease to expire', async () => await client.get('node/short').string() === null);
}

async function locks() {
  const first = await client.lock('node/lock').ttl(10).acquire();
  await assert.rejects(client.lock('node/lock').acquire(), EtcdLockFailedError);
  await first.release();
  assert.equal(await client.lock('node/lock').do(() => 'inside'), 'inside');
}

async function watches() {
  const watcher = await client.watch().prefix('node/w').withPreviousKV().create();
  const seen = [];
  watcher.on('put', (kv, previous) => seen.push(
    ['put', kv.key.toString(), kv.value.toString(), previous ? previous.value.toString() : null]));
  watcher.on('delete', kv => seen.push(['delete', kv.key.toString()]));
  const begin = (await client.put('node/w1').value('1')).header.revision;
  await client.put('node/w1').value('2');
  await client.delete().key('node/w1');
  await until('three events', () => seen.length === 3);
  assert.deepEqual(seen, [['put', 'node/w1', '1', null], ['put', 'node/w1', '2', '1'],
                          ['delete', 'node/w1']]);
  await watcher.cancel();
  const past = await client.watch().key('node/w1').startRevision(begin).create();
  const again = [];
  past.on('put', kv => again.push(kv.value.toString()));
  await until('two events of the past', () => again.length === 2);
  assert.deepEqual(again, ['1', '2']);
  await past.cancel();
}

async function elections() {
  const election = client.election('node/election', 10);
  const observer = await election.observe();
  const seen = [];
  observer.on('change', value => seen.push(value));
  const campaign = election.campaign('one');
  await once(campaign, 'elected');
  assert.equal(await election.leader(), 'one');
  await campaign.proclaim('uno');
  await until('what is proclaimed', () => seen.includes('uno'));
  await campaign.resign();
  await until('that nobody leads', async () => await election.leader() === undefined);
  await observer.cancel();
}

async function memory() {
  await client.put('node/stm').value('1');
  const add = () => client.stm({retries: 20}).transact(async tx => {
    await tx.put('node/stm').value(await tx.get('node/stm').number() + 1);
  });
  await Promise.all([add(), add(), add()]);
  assert.equal(await client.get('node/stm').string(), '4');
  await client.delete().prefix('node/');
}

async function maintenance() {
  const {members} = await client.cluster.memberList({});
  assert.equal(members.length, endpoints.split(',').length);
  const status = await client.maintenance.status();
  assert.match(status.version, /^3\./);
  assert.notEqual(status.leader, '0');
  assert.deepEqual((await client.maintenance.alarm({action: 'Get'})).alarms, []);
  const {header} = await client.put('node/compacted').value('1');
  await client.put('node/compacted').value('2');
  await client.kv.compact({revision: String(Number(header.revision) + 1)});
  await assert.rejects(client.get('node/compacted').revision(header.revision).string(),
                       /required revision has been compacted/);
  await client.delete().key('node/compacted');
}

for (const [name, step] of Object.entries(steps)) {
  try {
    console.log(name);
    await step();
  } catch (error) {
    console.error(`WRONG in ${name}:`, error);
    process.exit(1);
  }
}
clearTimeout(deadline);
client.close();
console.log('etcd3 of npm: all as expected');
process.exit(0);
