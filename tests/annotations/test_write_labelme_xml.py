"""The XML of CVAT's LabelMe format; its way there and back is in test_merge.py and test_preannotation.py."""

import numpy as np

from segtune.annotations.annotated_image import AnnotatedImage, Polygon, Shape
from segtune.annotations.write_labelme_xml import annotation_xml

XML = """<annotation>
  <filename>a.jpg</filename>
  <folder></folder>
  <source>
    <sourceImage></sourceImage>
    <sourceAnnotation>CVAT</sourceAnnotation>
  </source>
  <imagesize>
    <nrows>4</nrows>
    <ncols>6</ncols>
  </imagesize>
  <object>
    <name>person</name>
    <deleted>0</deleted>
    <verified>0</verified>
    <occluded>no</occluded>
    <date></date>
    <id>0</id>
    <parts>
      <hasparts></hasparts>
      <ispartof></ispartof>
    </parts>
    <polygon>
      <pt>
        <x>1.00</x>
        <y>1.00</y>
      </pt>
      <pt>
        <x>2.50</x>
        <y>1.00</y>
      </pt>
      <pt>
        <x>2.25</x>
        <y>3.33</y>
      </pt>
      <username></username>
    </polygon>
    <attributes></attributes>
  </object>
</annotation>
"""


def test_xml_is_what_cvat_writes():
    outline = np.array([[1.0, 1.0], [2.5, 1.0], [2.25, 3.333]])
    image = AnnotatedImage("a.jpg", [Shape("person", Polygon((outline,)), "polygon")], (4, 6))
    assert annotation_xml(image, "CVAT").decode() == XML


def test_names_are_escaped_and_folders_told_apart():
    text = annotation_xml(AnnotatedImage("a & b/<c>.jpg", (), (4, 6)), "segtune").decode()
    assert "<filename>&lt;c&gt;.jpg</filename>" in text
    assert "<folder>a &amp; b</folder>" in text
