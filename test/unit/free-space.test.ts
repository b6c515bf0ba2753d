/** How often a disk is asked for its free space, and what is made of the answer. */
import { expect, test } from "bun:test";
import { createFreeSpace } from "../../src/store/free-space.ts";

function diskWith(free: number, minFreeBytes: number) {
  const disk = { free, asked: 0 };
  const space = createFreeSpace(minFreeBytes, () => {
    disk.asked += 1;
    return Promise.resolve(disk.free);
  });
  return { disk, space };
}

test("the disk is asked once for many files that fit", async () => {
  const { disk, space } = diskWith(1000, 100);
  for (let file = 0; file < 8; file += 1) {
    expect(await space.hadRoom()).toBe(true);
    space.wrote(100);
  }
  expect(disk.asked).toBe(1);
});

test("the disk is asked again once what it had to spare is written", async () => {
  const { disk, space } = diskWith(1000, 100);
  expect(await space.hadRoom()).toBe(true);
  space.wrote(900);
  disk.free = 99;
  expect(await space.hadRoom()).toBe(false);
  expect(disk.asked).toBe(2);
});

test("a full disk is asked each time, so that freed space counts at once", async () => {
  const { disk, space } = diskWith(99, 100);
  expect(await space.hadRoom()).toBe(false);
  disk.free = 100;
  expect(await space.hadRoom()).toBe(true);
});

test("a disk of which nothing must stay free is not asked", async () => {
  const { disk, space } = diskWith(0, 0);
  expect(await space.hasRoom()).toBe(true);
  expect(await space.hadRoom()).toBe(true);
  expect(disk.asked).toBe(0);
});
